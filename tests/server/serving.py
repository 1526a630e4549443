"""Engines for tests: real children, tiny random models, and a device that can be held still."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from perceiver_core.pipelines.text_classification import TextClassificationInput
from server.config import Settings
from server.engine import Answer, Engine
from server.errors import Fault
from tests.tiny import make_text_classifier

TASK = "text-classification"
PATIENCE_S = 60.0


def settings_of(folder: Path, plan: Iterable[Mapping[str, object]] = (), **given: Any) -> Settings:
    """Settings over folder/models, where `tiny` is the default model; one thread, float32."""
    repository = folder / "models"
    if not (repository / "tiny").exists():
        make_text_classifier(repository / "tiny")
    rules = folder / f"plan-{uuid4()}.json"
    rules.write_text(json.dumps(list(plan)))
    values = {
        "model_repository": repository,
        "default_models": {TASK: "tiny"},
        "dtype": "float32",
        "threads": 1,
        "fault_plan": rules,
    }
    return Settings(**(values | given))


@asynccontextmanager
async def serving(
    folder: Path, plan: Iterable[Mapping[str, object]] = (), **given: Any
) -> AsyncIterator[Engine]:
    """A running engine that has answered one request of the default model."""
    async with Engine(settings_of(folder, plan, **given)) as engine:
        await ask(engine, "warm", protocol="warm")
        yield engine


@asynccontextmanager
async def light(folder: Path, **given: Any) -> AsyncIterator[Engine]:
    """An engine whose worker needs no torch (tests/server/light_worker.py), with no media child."""
    engine = Engine(settings_of(folder, **given))
    engine.worker._module = "tests.server.light_worker"
    engine.worker.start()
    engine.batcher.start()
    try:
        yield engine
    finally:
        await engine.close()


def ask(engine: Engine, *texts: str, **options: Any) -> asyncio.Task[Answer]:
    """One request for texts."""
    items = [TextClassificationInput(text) for text in texts]
    return asyncio.create_task(engine.predict(TASK, items, **options))


async def code_of(request: Awaitable[Answer]) -> str:
    """How a request ended: `ok`, `cancelled`, or its fault's code."""
    try:
        await request
    except Fault as fault:
        return fault.code
    except asyncio.CancelledError:
        return "cancelled"
    return "ok"


async def codes_of(requests: Iterable[Awaitable[Answer]]) -> list[str]:
    """How each ended, in order."""
    return list(await asyncio.gather(*map(code_of, requests)))


async def until(condition: Callable[[], bool]) -> None:
    """Returns when the condition holds: for what has no event to wait for."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


@asynccontextmanager
async def stopped(engine: Engine) -> AsyncIterator[int]:
    """The worker (its pid) stands still until the block ends, or it is killed."""
    await engine.worker.wait_ready()
    pid = engine.worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield pid
    finally:
        if engine.worker.pid == pid:
            with suppress(ProcessLookupError):  # killed, and being reaped in a thread
                os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def held(engine: Engine) -> AsyncIterator[Awaitable[Answer]]:
    """The device is busy with one request (yielded) until the block ends; no clock involved."""
    async with stopped(engine):
        first = ask(engine, "the request that holds the device", protocol="holder")
        await until(lambda: sum(engine.ledger.in_flight.values()) == 1)
        yield first


def waiting(engine: Engine, count: int) -> Callable[[], bool]:
    """Whether `count` requests are queued, and their rows wait for the device."""
    return lambda: sum(engine.ledger.queued.values()) == count == engine.batcher.waiting_requests()


def lawful(engine: Engine) -> bool:
    """received = the sum of the outcomes + queued + in_flight, for every model and protocol."""
    ledger = engine.ledger
    return all(
        received
        == sum(n for (*ended, _), n in ledger.ended.items() if tuple(ended) == key)
        + ledger.queued[key]
        + ledger.in_flight[key]
        for key, received in ledger.received.items()
    )


def computed(engine: Engine) -> int:
    """Rows that have been computed."""
    return sum(engine.batcher.items_computed.values())


def ended(engine: Engine, outcome: str) -> int:
    """Requests that ended so."""
    return sum(n for (_, _, how), n in engine.ledger.ended.items() if how == outcome)


def at_rest(engine: Engine) -> bool:
    """Nothing is queued, in flight or admitted."""
    ledger = engine.ledger
    return (
        not any(ledger.queued.values())
        and not any(ledger.in_flight.values())
        and ledger.waiting_rows == ledger.held_rows == 0
        and not engine.batcher._waiting.models()
    )
