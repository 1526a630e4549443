"""Collects the rows of many callers, has them run together, gives every caller his own.

One loop owns the device.  It wakes when rows arrive and never polls: an idle device starts at
once, a busy one finds the next batch waiting.  The model whose request has waited longest for its
turn goes next; a request that needs several batches waits for a turn for each.
Whatever happens, everyone who submitted gets an answer: the loop outlives every exception, and
rows whose caller has gone, or whose deadline has passed, are dropped before they cost anything.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

from server.child import Child, ChildDied
from server.errors import INTERNAL, Fault
from server.frames import Row
from server.ledger import Ticket
from server.messages import Failed, Ran, RowError, Run
from server.registry import Registry
from server.waiting import Batch, Computed, RowFault, Waiting

log = logging.getLogger(__name__)

Observer = Callable[[str, int, float], None]  # (model, rows, seconds) of a batch


class Batcher:
    """The waiting rows of every model, and the loop that runs them."""

    def __init__(
        self,
        worker: Child,
        registry: Registry,
        *,
        max_batch: int,
        limit_s: float,
        observe: Observer,
    ) -> None:
        self.batches: Counter[str] = Counter()
        self.items_computed: Counter[str] = Counter()
        self._worker = worker
        self._registry = registry
        self._max_batch = max_batch
        self._limit_s = limit_s
        self._observe = observe
        self._waiting = Waiting()
        self._on_device: Batch = []
        self._arrived = asyncio.Event()
        self._loop_task: asyncio.Task[None] | None = None
        self._closed = False

    def start(self) -> None:
        """Starts the device loop."""
        self._loop_task = asyncio.create_task(self._loop())

    async def submit(self, ticket: Ticket, model: str, rows: Sequence[Row]) -> Computed:
        """Waits for the outputs of all rows.

        Raises the Fault of the first row that failed, or of the model or the worker.  Cancelling
        takes the rows out of the queue.
        """
        if self._closed:
            raise _closing()
        entry = self._waiting.add(model, ticket, rows)
        self._arrived.set()
        try:
            return await entry.answer
        finally:
            self._waiting.discard(entry)

    def waiting_requests(self) -> int:
        """Requests whose rows wait for the device."""
        return len(self._waiting)

    async def close(self) -> None:
        """Stops the loop; everyone who still waits gets Fault draining."""
        self._closed = True
        if self._loop_task is not None:
            self._loop_task.cancel()
            with suppress(asyncio.CancelledError):
                await self._loop_task
        for entry in [*self._waiting.take_all(), *dict(self._on_device)]:
            entry.fail(_closing())

    async def _loop(self) -> None:
        while True:
            await self._arrived.wait()
            await self._worker.wait_ready()
            model = self._waiting.oldest()
            if model is None:
                self._arrived.clear()
                continue
            try:
                await self._serve(model)
            except Fault as fault:
                self._fail_waiting(model, fault)
            except ChildDied:
                log.info("rows of %s wait for the next worker", model)
            except Exception:
                log.exception("the batcher failed on %s: our bug", model)
                self._fail_waiting(model, Fault("internal", INTERNAL))

    async def _serve(self, model: str) -> None:
        """Loads the model if need be, then runs one batch of it."""
        if not self._registry.loaded(model):
            self._registry.check_back_off(model)  # or others would leave for nothing
            await self._make_room(model)
            await self._registry.load(model)
            await self._make_room(model)  # now that its true size is known
        if self._registry.loaded(model):  # the worker may have died since
            await self._run(model)

    async def _make_room(self, model: str) -> None:
        """Evicts what has to go.  A model that others wait for serves a batch of them first."""
        for victim in self._registry.victims(model, self._waiting.models()):
            if victim in self._waiting.models() and self._registry.loaded(victim):
                await self._run(victim)
            if self._registry.loaded(victim):
                await self._registry.evict(victim)

    async def _run(self, model: str) -> None:
        """One batch, from the queue to its callers.  Raises nothing: its callers get the Fault."""
        most = min(self._max_batch, self._registry.most_rows(model))
        self._on_device = batch = self._waiting.take(model, most)
        if not batch:
            return
        started = time.perf_counter()
        for entry, _ in batch:
            entry.ticket.start(1)
        self._registry.touch(model)
        try:
            reply, outputs = await self._worker.call(
                Run(model), [entry.rows[row] for entry, row in batch], limit_s=self._limit_s
            )
            seconds = time.perf_counter() - started
            match reply:
                case Ran(errors):
                    self._count(model, batch, started, seconds)
                    self._deliver(batch, errors, outputs)
                case Failed(code, message):
                    self._fail(batch, Fault(code, message))
        except ChildDied as death:
            message = f"the worker was lost with this request on it ({death}): try again"
            self._fail(batch, Fault("worker_died", message))
        except Exception:
            log.exception("a batch of %s failed: our bug", model)
            self._fail(batch, Fault("internal", INTERNAL))
        self._on_device = []

    def _count(self, model: str, batch: Batch, started: float, seconds: float) -> None:
        self.batches[model] += 1
        self.items_computed[model] += len(batch)
        self._observe(model, len(batch), seconds)
        for entry in dict(batch):
            computed = entry.computed
            computed.started = computed.started or started
            computed.batch_size = max(computed.batch_size, len(batch))
            computed.seconds += seconds

    def _deliver(self, batch: Batch, errors: list[RowError | None], outputs: list[Row]) -> None:
        for (entry, row), error, output in zip(batch, errors, outputs, strict=True):
            if error is None:
                entry.put(row, output)
            else:
                entry.fail(RowFault(row, error))

    def _fail(self, batch: Batch, fault: Fault) -> None:
        for entry in dict(batch):
            entry.fail(fault.copy())

    def _fail_waiting(self, model: str, fault: Fault) -> None:
        for entry in self._waiting.take_all(model):
            entry.fail(fault.copy())


def _closing() -> Fault:
    return Fault("draining", "the server is shutting down: ask another one, or later")
