"""The engine: the one object that every door calls, and usable with no door at all.

    async with Engine(Settings()) as engine:
        answer = await engine.predict("text-classification", [TextClassificationInput("Grüezi")])

A request's owner is the coroutine `predict`: it alone makes the ticket's terminal transition.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter  # the event loop's clock has whole milliseconds
from typing import Any, Self

from server.batcher import Batcher
from server.catalogue import Catalogue, Entry, check_task
from server.child import Child
from server.config import Settings
from server.errors import Fault, fault_of
from server.faults import FaultPlan
from server.ledger import Ledger, Ticket
from server.media_pool import MediaPool
from server.messages import WorkerOptions, WorkerReply
from server.metrics import Histograms, Metrics
from server.registry import ModelStatus, Registry
from server.waiting import Computed, RowFault
from server.work import MAX_ANSWER, MAX_ARRAYS, Work, naming, prepare

Render = Callable[[list[Any]], Awaitable[Any]]
WORKER = "server.worker"  # a module, for python -m
LAST_ANSWERS_S = 1.0  # nothing is computed any more; postprocessing may be under way
LIMITS = (
    *("max_inputs", "max_body_bytes", "max_text_body_bytes", "max_pixels"),
    *("max_message_bytes", "max_streams"),
    *("max_batch", "max_queue", "timeout_ms", "max_timeout_ms", "memory_budget"),
)


@dataclass(frozen=True)
class Answer:
    """One output per item, or what was rendered of them; times in milliseconds: decode, queue,
    compute, encode."""

    outputs: Any
    model: str
    batch_size: int
    timings: dict[str, float]

    def headers(self, encode_s: float = 0) -> dict[str, str]:
        """What every door tells beside the answer; `encode_s` went into its rendering."""
        timings = {**self.timings, "encode": self.timings["encode"] + encode_s * 1000}
        return {
            "x-model": self.model,
            "x-batch-size": str(self.batch_size),
            "server-timing": ", ".join(f"{name};dur={ms:.2f}" for name, ms in timings.items()),
        }


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
        self._histograms = Histograms()
        self.batcher = Batcher(
            self.worker,
            self.registry,
            max_batch=settings.max_batch,
            limit_s=settings.batch_timeout_s,
            observe=self._histograms.batch,
        )
        self._metrics = Metrics(
            self._histograms, self.ledger, self.batcher, self.registry, self.worker
        )
        self._threads = ThreadPoolExecutor(2, "arrays")

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
        self.leave()
        self.ledger.draining = True
        try:
            async with asyncio.timeout(self.settings.drain_grace_s):
                await self.ledger.wait_idle()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Ends everything now; whoever still waits gets Fault draining, or worker_died."""
        self.leave()
        self.ledger.draining = True
        await self.batcher.close()
        await asyncio.gather(self.worker.close(), self.media.close())
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_ANSWERS_S):
                await self.ledger.wait_idle()
        self._threads.shutdown(wait=False, cancel_futures=True)

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
        """Every model of the catalogue and its state."""
        return self.registry.statuses()

    def limits(self) -> dict[str, int]:
        """The limits in force."""
        numbers = self.settings.model_dump(include=set(LIMITS))
        answers = {"answer_characters": MAX_ANSWER, "answer_bytes": MAX_ARRAYS}
        return {name: int(numbers[name]) for name in LIMITS} | answers

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
        entry = self.catalogue.find(task, model)
        began = perf_counter()
        timeout_s = self._timeout_s(timeout_ms)
        deadline = asyncio.get_running_loop().time() + timeout_s
        ticket = self.ledger.receive(entry.name, protocol, deadline)
        limit = asyncio.timeout_at(deadline)
        try:
            async with limit:
                answer = await self._answer(ticket, entry, task, items, render)
        except BaseException as error:
            late = isinstance(error, TimeoutError) and limit.expired()
            fault = _late(timeout_s) if late else fault_of(error, request_id)
            ticket.end(fault.kind.outcome)
            fault.counted = True
            if isinstance(error, Exception):
                raise fault from None
            raise
        else:
            ticket.end("completed")
            return answer
        finally:
            seconds = perf_counter() - began
            self._histograms.request.labels(entry.name, protocol).observe(seconds)

    async def _answer(
        self,
        ticket: Ticket,
        entry: Entry,
        task: str,
        items: Sequence[Any],
        render: Render | None,
    ) -> Answer:
        self._check_count(items)
        ticket.admit(len(items))
        pipeline = await self.registry.pipeline(entry.name)
        check_task(entry.name, pipeline.task, task)
        assert entry.folder is not None
        began = perf_counter()
        work = await prepare(pipeline, items, entry.folder, self.media, self._threads)
        ticket.admit(len(work.rows) - len(items))
        queued = perf_counter()
        self._histograms.decode.labels(entry.name).observe(queued - began)
        computed = await self._compute(ticket, entry, work)
        self._histograms.queue.labels(entry.name).observe(computed.started - queued)
        back = perf_counter()
        outputs: Any = await work.outputs(computed.rows, self._threads)
        if render is not None:
            outputs = await render(outputs)
        seconds = {
            "decode": queued - began,
            "queue": computed.started - queued,
            "compute": computed.seconds,
            "encode": perf_counter() - back,
        }
        timings = {name: value * 1000 for name, value in seconds.items()}
        return Answer(outputs, entry.name, computed.batch_size, timings)

    async def _compute(self, ticket: Ticket, entry: Entry, work: Work) -> Computed:
        try:
            return await self.batcher.submit(ticket, entry.name, work.rows)
        except RowFault as fault:
            with naming(work.item_of(fault.row), len(work.items)):
                raise

    def _worker_died(self) -> None:
        self.registry.forget()
        self.changed.set()

    def _check_count(self, items: Sequence[Any]) -> None:
        if not items:
            raise Fault("invalid_input", "there is no input: send at least one")
        if len(items) > self.settings.max_inputs:
            raise Fault(
                "too_large",
                f"{len(items)} inputs in one request, the limit is {self.settings.max_inputs}: "
                "send several requests",
            )

    def _timeout_s(self, timeout_ms: float | None) -> float:
        asked = self.settings.timeout_ms if timeout_ms is None else timeout_ms
        return min(asked, self.settings.max_timeout_ms) / 1000


def _worker_options(settings: Settings) -> WorkerOptions:
    return WorkerOptions(
        device=settings.device,
        dtype=settings.dtype,
        numerics=settings.numerics,
        threads=settings.threads,
        fault_plan=None if settings.fault_plan is None else str(settings.fault_plan),
    )


def _late(seconds: float) -> Fault:
    return Fault("deadline", f"no answer within {seconds * 1000:.0f} ms: allow more, or try later")
