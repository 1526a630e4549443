"""Which models are on the device, and which have to go for the next one.

    unloaded ──► loading ──► loaded ──► unloaded          (evicted, or the worker died)
                    └──► failed ──back-off──► loading

Only the batcher's device loop loads and unloads, so one model is loaded once however many ask.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Literal

from perceiver_core.errors import CheckpointError
from perceiver_core.folders import weight_bytes
from perceiver_core.pipelines.base import Pipeline
from server.catalogue import Catalogue, Entry, open_folder
from server.child import Child, ChildDied
from server.errors import Fault
from server.messages import Failed, Load, Unload

log = logging.getLogger(__name__)

LOAD_LIMIT_S = 300.0
UNLOAD_LIMIT_S = 30.0
LONGEST_BACK_OFF_S = 30.0
State = Literal["not_pulled", "unloaded", "loading", "loaded", "failed"]


@dataclass
class Slot:
    """What is known of one model."""

    entry: Entry
    state: State
    problem: str | None
    pipeline: Pipeline[Any, Any] | None = None
    resident_bytes: int = 0
    measured_bytes: int | None = None  # once it has been loaded
    used: int = 0  # the larger, the more recently
    deaths: int = 0  # of the worker while loading this model, since it last loaded
    failures: int = 0  # in a row
    code: str = "load_failed"  # of the last failure
    retry_at: float = 0.0  # seconds of the event loop's clock
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True)
class ModelStatus:
    """A row of `GET /v1/models`."""

    name: str
    task: str | None
    source: str
    state: State
    default: bool  # of its task
    resident_bytes: int
    problem: str | None
    format: dict[str, int] | None = None  # of the clips of multimodal-autoencoding


class Registry:
    """Every model's state; the budget; the counters of loads and evictions."""

    def __init__(self, catalogue: Catalogue, worker: Child, budget: int) -> None:
        self.loads: Counter[Literal["completed", "failed"]] = Counter()
        self.evictions = 0
        self.on_change: Callable[[], None] = lambda: None  # of what `usable` tells
        self._catalogue = catalogue
        self._worker = worker
        self._budget = budget
        self._uses = 0
        self.slots = {
            entry.name: Slot(
                entry, "unloaded" if entry.folder is not None else "not_pulled", entry.problem
            )
            for entry in catalogue
        }

    def statuses(self) -> list[ModelStatus]:
        """Every model, and how it is."""
        return [
            ModelStatus(
                name=name,
                task=slot.entry.task,
                source=slot.entry.source,
                state=slot.state,
                default=slot.entry.task is not None
                and self._catalogue.default(slot.entry.task) == name,
                resident_bytes=slot.resident_bytes,
                problem=slot.problem,
                format=slot.entry.format,
            )
            for name, slot in self.slots.items()
        ]

    async def pipeline(self, name: str) -> Pipeline[Any, Any]:
        """The model's pipeline, from its small files; the Fault of its last failure for a while."""
        slot = self.slots[name]
        async with slot.opening:
            self.check_back_off(name)
            if slot.pipeline is None:
                assert slot.entry.folder is not None
                try:
                    slot.pipeline = await asyncio.to_thread(open_folder, slot.entry.folder)
                except CheckpointError as error:
                    raise self._failed(slot, "load_failed", str(error)) from None
            return slot.pipeline

    def most_rows(self, name: str) -> int:
        """How many rows one batch of the model may hold, by its pipeline."""
        pipeline = self.slots[name].pipeline
        return sys.maxsize if pipeline is None else pipeline.most_rows

    def loaded(self, name: str) -> bool:
        """True where the model can run now."""
        return self.slots[name].state == "loaded"

    def usable(self, name: str) -> bool:
        """True where the model is loaded, or nothing is known to be in the way of loading it."""
        slot = self.slots[name]
        if slot.state == "failed":
            return self._back_off(slot) <= 0
        return slot.state != "not_pulled" and slot.problem is None

    def touch(self, name: str) -> None:
        """The model is being used: others go first."""
        self._uses += 1
        self.slots[name].used = self._uses

    def victims(self, name: str, busy: Collection[str]) -> list[str]:
        """Who has to go, in this order, so that `name` fits: idle models first, oldest use first.

        Fault out_of_memory where it would not even fit alone.
        """
        slot = self.slots[name]
        need = self._size(slot)
        if need > self._budget:
            raise self._too_large(slot, need)
        others = [s for s in self.slots.values() if s.state == "loaded" and s is not slot]
        others.sort(key=lambda s: (s.entry.name in busy, s.used))
        free = self._budget - sum(s.resident_bytes for s in others)
        leaving = []
        for other in others:
            if free >= need:
                break
            free += other.resident_bytes
            leaving.append(other.entry.name)
        return leaving

    async def load(self, name: str) -> None:
        """Loads the model; Fault where it cannot be, ChildDied where the worker died meanwhile.

        A worker that dies during a load may have been killed for other reasons, so the load gets
        a second try; after that every death is the model's failure, until it has loaded once.
        """
        slot = self.slots[name]
        slot.state = "loading"
        try:
            message = Load(name, str(slot.entry.folder))
            reply, _ = await self._worker.call(message, limit_s=LOAD_LIMIT_S)
            if slot.state != "loading":
                raise ChildDied("the process ended")
        except ChildDied as death:
            slot.state = "unloaded"
            slot.deaths += 1
            if slot.deaths == 1:
                raise
            raise self._failed(
                slot, "load_failed", f"the worker was lost over it ({death})"
            ) from None
        except BaseException:
            slot.state = "unloaded"
            raise
        if isinstance(reply, Failed):
            raise self._failed(slot, reply.code, reply.message)
        await self._settle(slot, reply.bytes)

    async def _settle(self, slot: Slot, size: int) -> None:
        """The model is on the device and its true size is known."""
        slot.measured_bytes = size
        if size > self._budget:
            await self._worker.call(Unload(slot.entry.name), limit_s=UNLOAD_LIMIT_S)
            raise self._too_large(slot, size)
        slot.state, slot.resident_bytes = "loaded", size
        slot.failures, slot.deaths, slot.problem = 0, 0, None
        self.on_change()
        self.loads["completed"] += 1
        log.info("loaded %s, %d bytes", slot.entry.name, size)

    async def evict(self, name: str) -> None:
        """Frees the model's memory; ChildDied where the worker died, which frees it too."""
        slot = self.slots[name]
        await self._worker.call(Unload(name), limit_s=UNLOAD_LIMIT_S)
        slot.state, slot.resident_bytes = "unloaded", 0
        self.evictions += 1
        log.info("evicted %s", name)

    def forget(self) -> None:
        """The worker died, and every model with it, also one whose load has just been reported."""
        for slot in self.slots.values():
            if slot.state in ("loaded", "loading"):
                slot.state = "unloaded"
            slot.resident_bytes = 0

    def check_back_off(self, name: str) -> None:
        """The Fault of the model's last failure, until it is time to try again."""
        slot = self.slots[name]
        left = self._back_off(slot)
        if slot.state == "failed" and left > 0:
            raise _unusable(slot, left)

    def _back_off(self, slot: Slot) -> float:
        """Seconds until a failed model may be tried again."""
        return slot.retry_at - asyncio.get_running_loop().time()

    def _failed(self, slot: Slot, code: str, reason: str) -> Fault:
        """Remembers a failure, and says so: 1 s until the next try, doubling to 30 s."""
        wait = min(2.0**slot.failures, LONGEST_BACK_OFF_S)
        slot.failures += 1
        loop = asyncio.get_running_loop()
        slot.retry_at = retry_at = loop.time() + wait
        slot.state, slot.code, slot.problem = "failed", code, reason
        slot.pipeline = None  # whoever repairs the folder may change its small files too
        self.on_change()
        loop.call_at(retry_at, self._end_back_off, slot, retry_at)
        self.loads["failed"] += 1
        log.warning("model %s failed (%s): %s", slot.entry.name, code, reason)
        return _unusable(slot, wait)

    def _end_back_off(self, slot: Slot, retry_at: float) -> None:
        if slot.retry_at == retry_at:  # it has not failed again
            slot.retry_at = 0.0  # a timer may be early by a hair
            self.on_change()

    def _too_large(self, slot: Slot, size: int) -> Fault:
        reason = f"it takes {size} bytes, the memory budget is {self._budget}"
        return self._failed(slot, "out_of_memory", reason)

    def _size(self, slot: Slot) -> int:
        """Bytes on the device; before the first load, the size of the file."""
        if slot.measured_bytes is not None:
            return slot.measured_bytes
        assert slot.entry.folder is not None
        try:
            return weight_bytes(slot.entry.folder)
        except CheckpointError as error:
            raise self._failed(slot, "load_failed", str(error)) from None


def _unusable(slot: Slot, wait: float) -> Fault:
    return Fault(
        slot.code, f"model {slot.entry.name!r} cannot be loaded: {slot.problem}", retry_after=wait
    )
