"""What a door makes of the outputs is part of the request: its time, its failure, its end."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from perceiver_core.pipelines.text_classification import TextClassificationInput
from server.engine import Engine
from server.errors import Fault
from tests.server.serving import TASK, at_rest, code_of, ended, lawful, light

ITEMS = [TextClassificationInput("a"), TextClassificationInput("b")]


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with light(tmp_path) as engine:
        yield engine
        assert lawful(engine)
        assert at_rest(engine)


async def test_the_door_gets_what_it_made(engine: Engine) -> None:
    async def render(outputs: list[Any]) -> str:
        return f"{len(outputs)} outputs"

    answer = await engine.predict(TASK, ITEMS, render=render)
    assert answer.outputs == "2 outputs"
    assert ended(engine, "completed") == 1


async def test_a_deadline_counts_the_rendering(engine: Engine) -> None:
    async def render(_: list[Any]) -> None:
        await asyncio.Event().wait()

    assert await code_of(engine.predict(TASK, ITEMS, timeout_ms=300, render=render)) == "deadline"
    assert ended(engine, "expired") == 1


@pytest.mark.parametrize(
    ("error", "code", "outcome"),
    [
        (Fault("too_large", "what a sentence"), "too_large", "rejected"),
        (Fault("worker_died", "what a sentence"), "worker_died", "failed"),
        (ValueError("ours"), "internal", "failed"),
    ],
)
async def test_what_cannot_be_rendered_fails_the_request(
    engine: Engine, error: Exception, code: str, outcome: str
) -> None:
    async def render(_: list[Any]) -> None:
        raise error

    assert await code_of(engine.predict(TASK, ITEMS, render=render)) == code
    assert ended(engine, outcome) == 1


async def test_who_leaves_while_it_is_rendered_has_cancelled(engine: Engine) -> None:
    rendering = asyncio.Event()

    async def render(_: list[Any]) -> None:
        rendering.set()
        await asyncio.Event().wait()

    request = asyncio.create_task(engine.predict(TASK, ITEMS, render=render))
    await rendering.wait()
    request.cancel()
    assert await code_of(request) == "cancelled"
    assert ended(engine, "cancelled") == 1
