"""The engine: the one object that every door calls, and usable with no door at all.

async with Engine(Settings()) as engine:
    answer = await engine.predict("text-classification", [TextClassificationInput("Grüezi")])
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Self

from perceiver_core.pipelines.base import Pipeline
from server.answering import Answer, Answering, Render
from server.batcher import Batcher
from server.catalogue import Catalogue, check_task
from server.child import Child
from server.config import Settings
from server.errors import Fault
from server.faults import FaultPlan
from server.ledger import Ledger
from server.media_pool import MediaPool
from server.messages import WorkerOptions, WorkerReply
from server.metrics import Histograms, Metrics
from server.registry import ModelStatus, Registry
from server.streams import WINDOW, Idle, Room, Stream
from server.work import MAX_ANSWER, MAX_ARRAYS

__all__ = ["Answer", "Engine"]

WORKER = "server.worker"  # a module, for python -m
LAST_ANSWERS_S = 1.0  # nothing is computed any more; postprocessing may be under way
LIMITS = (
    *("max_inputs", "max_body_bytes", "max_text_body_bytes"),
    *("max_pixels", "max_seconds", "max_frames", "max_message_bytes", "max_streams"),
    *("max_batch", "max_queue", "timeout_ms", "max_timeout_ms", "memory_budget"),
)


class Engine:
    """Models, their queue, their device, and the limits of all of it.  Needs a running loop."""

    def __init__(self, settings: Settings) -> None:
        """ValueError where the settings name models wrongly, or a fault plan that is none."""
        FaultPlan.read(_worker_options(settings).fault_plan)
        self.settings = settings
        self.catalogue = Catalogue(settings)
        self.ledger = Ledger(settings.max_queue, settings.max_batch)
        self.worker = Child(WORKER, _worker_options(settings), WorkerReply)
        self.registry = Registry(self.catalogue, self.worker, int(settings.memory_budget))
        self.leaving = False
        self.changed = asyncio.Event()  # what `serving` tells may have; cleared by who publishes it
        self.worker.on_ready = self.changed.set
        self.worker.on_death = self._worker_died
        self.registry.on_change = self.changed.set
        self.media = MediaPool(settings)
        histograms = Histograms()
        self.batcher = Batcher(
            self.worker,
            self.registry,
            max_batch=settings.max_batch,
            limit_s=settings.batch_timeout_s,
            observe=histograms.batch,
        )
        self._metrics = Metrics(histograms, self.ledger, self.batcher, self.registry, self.worker)
        self._threads = ThreadPoolExecutor(2, "arrays")
        self._idle = Idle(settings.body_timeout_s)
        self.room = Room()
        rooms = (self.ledger, self.registry, self.batcher, self.media, histograms, self._threads)
        self._answering = Answering(settings, self.catalogue, *rooms)

    @property
    def refusal(self) -> asyncio.Future[str]:
        """Done where the worker can never work with these settings: why not."""
        return self.worker.refusal

    @property
    def tried(self) -> asyncio.Future[None]:
        """Done once the first worker works, or has ended."""
        return self.worker.tried

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Starts the children and returns; requests may come at once and wait for them."""
        self.worker.start()
        self.media.start()
        self.batcher.start()

    def leave(self) -> None:
        """Not ready any more, so that balancers look elsewhere; requests are still served."""
        self.leaving = True
        self.changed.set()

    async def drain(self) -> bool:
        """Refuses new requests and waits for the accepted ones; False where the grace ran out."""
        self._refuse_more()
        try:
            async with asyncio.timeout(self.settings.drain_grace_s):
                await self.ledger.wait_idle()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Ends everything now; whoever still waits gets Fault draining, or worker_died."""
        self._refuse_more()
        await self.batcher.close()
        await asyncio.gather(self.worker.close(), self.media.close())
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_ANSWERS_S):
                await self.ledger.wait_idle()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _refuse_more(self) -> None:
        self.leave()
        self.ledger.draining = True
        self._idle.close()

    def ready(self) -> bool:
        """True while a request would be served now, and later ones too."""
        return self.worker.ready and not self.leaving

    def serving(self) -> dict[str, bool]:
        """Every model, and whether it would be served now: it is loaded, or can be."""
        ready = self.ready()
        return {name: ready and self.registry.usable(name) for name in self.registry.slots}

    def check_open(self) -> None:
        """Fault draining where new requests are refused."""
        if self.ledger.draining:
            raise Fault("draining", "the server is shutting down: ask another one, or later")

    def models(self) -> list[ModelStatus]:
        """Every model and its state."""
        return self.registry.statuses()

    def limits(self) -> dict[str, float]:
        """The limits in force."""
        numbers = self.settings.model_dump(include=set(LIMITS))
        answers = {"answer_characters": MAX_ANSWER, "answer_bytes": MAX_ARRAYS}
        return {name: numbers[name] for name in LIMITS} | answers | {"stream_window": WINDOW}

    def metrics(self) -> bytes:
        """The Prometheus text format, one moment of everything."""
        return self._metrics.render()

    def refuse(self, protocol: str, fault: Fault) -> None:
        """Counts a fault that never became a request; one that did has been counted."""
        if not fault.counted:
            self.ledger.refuse(protocol, fault.code)

    async def predict(
        self,
        task: str,
        items: Sequence[Any],
        *,
        model: str | None = None,
        timeout_ms: float | None = None,
        protocol: str = "rest",
        request_id: str = "-",
        render: Render | None = None,
    ) -> Answer:
        """One answer for all items (the pipeline's input dataclass), or a Fault.

        `render` makes of the outputs what the door sends: within the deadline, and what fails there
        fails the request.
        Cancelling the awaiting task gives the request up, wherever it is.
        """
        return await self._answering.predict(
            task,
            items,
            model=model,
            timeout_ms=timeout_ms,
            protocol=protocol,
            request_id=request_id,
            render=render,
            patient=False,
        )

    def stream(
        self,
        task: str,
        items: AsyncGenerator[Any, None],
        *,
        weight: Callable[[Any], int],
        model: str | None = None,
        timeout_ms: float | None = None,
        protocol: str = "rest",
        request_id: str = "-",
        render: Render | None = None,
    ) -> Stream:
        """An answer or a Fault for each item, in order (server/streams.py); to be closed.

        An item may be a Fault, which is its own answer.  `weight` is about how many bytes an item
        and its answer hold; `timeout_ms` is for the whole stream.  Each item is a request of its
        own, with the default timeout for itself and for each one before it that is still under way.
        """
        clock = asyncio.get_running_loop().time
        end = math.inf if timeout_ms is None else clock() + timeout_ms / 1000

        async def answer(item: Any, place: int) -> Answer:
            self.check_open()
            return await self._answering.predict(
                task,
                [item],
                model=model,
                timeout_ms=min(place * self.settings.timeout_ms, (end - clock()) * 1000),
                protocol=protocol,
                request_id=request_id,
                render=render,
                patient=True,
            )

        return Stream(items, answer, weight, self._idle, self.room)

    async def pipeline(self, task: str, model: str | None) -> Pipeline[Any, Any]:
        """What a model can do, without loading it; the Faults of `predict`."""
        entry = self.catalogue.find(task, model)
        pipeline = await self.registry.pipeline(entry.name)
        check_task(entry.name, pipeline.task, task)
        return pipeline

    def _worker_died(self) -> None:
        self.registry.forget()
        self.changed.set()


def _worker_options(settings: Settings) -> WorkerOptions:
    return WorkerOptions(
        device=settings.device,
        dtype=settings.dtype,
        numerics=settings.numerics,
        threads=settings.threads,
        fault_plan=None if settings.fault_plan is None else str(settings.fault_plan),
    )
