"""One request's way: a ticket, rows, the device, its outputs, its end.

The coroutine `predict` owns the request: it alone makes the ticket's terminal transition.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter  # the event loop's clock has whole milliseconds
from typing import Any

from server.batcher import Batcher
from server.catalogue import Catalogue, Entry, check_task
from server.config import Settings
from server.errors import Fault, fault_of
from server.ledger import Ledger, Ticket
from server.media_pool import MediaPool
from server.metrics import Histograms
from server.registry import Registry
from server.waiting import Computed, RowFault
from server.work import Work, known_rows, naming, prepare

Render = Callable[[list[Any]], Awaitable[Any]]


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


@dataclass
class Answering:
    """What a request meets on its way."""

    settings: Settings
    catalogue: Catalogue
    ledger: Ledger
    registry: Registry
    batcher: Batcher
    media: MediaPool
    histograms: Histograms
    threads: ThreadPoolExecutor

    async def predict(
        self,
        task: str,
        items: Sequence[Any],
        *,
        model: str | None,
        timeout_ms: float | None,
        protocol: str,
        request_id: str,
        render: Render | None,
        patient: bool,
    ) -> Answer:
        """As Engine.predict; a `patient` request waits for room where others are refused."""
        entry = self.catalogue.find(task, model)
        began = perf_counter()
        timeout_s = self._timeout_s(timeout_ms)
        deadline = asyncio.get_running_loop().time() + timeout_s
        ticket = self.ledger.receive(entry.name, protocol, deadline)
        limit = asyncio.timeout_at(deadline)
        try:
            async with limit:
                answer = await self._answer(ticket, entry, task, items, render, patient)
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
            self.histograms.request.labels(entry.name, protocol).observe(seconds)

    async def _answer(
        self,
        ticket: Ticket,
        entry: Entry,
        task: str,
        items: Sequence[Any],
        render: Render | None,
        patient: bool,
    ) -> Answer:
        self._check_count(items)
        if not patient:
            ticket.admit(len(items))
        pipeline = await self.registry.pipeline(entry.name)
        check_task(entry.name, pipeline.task, task)
        assert entry.folder is not None
        arrived = perf_counter()
        if patient:  # before anything is decoded: who waits for room holds what was sent, no more
            await ticket.admit_in_turn(known_rows(pipeline, items))
        began = perf_counter()
        work = await prepare(pipeline, items, entry.folder, self.media, self.threads, ticket.grow)
        queued = perf_counter()
        self.histograms.decode.labels(entry.name).observe(queued - began)
        computed = await self._compute(ticket, entry, work)
        waited = began - arrived + computed.started - queued
        self.histograms.queue.labels(entry.name).observe(waited)
        back = perf_counter()
        outputs: Any = await work.outputs(computed.rows, self.threads)
        if render is not None:
            outputs = await render(outputs)
        seconds = {
            "decode": queued - began,
            "queue": waited,
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


def _late(seconds: float) -> Fault:
    return Fault("deadline", f"no answer within {seconds * 1000:.0f} ms: allow more, or try later")
