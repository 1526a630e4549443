"""The worker dies, hangs or never starts; the engine drains and closes: nobody waits for ever."""

import asyncio
import io
import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from perceiver_core.pipelines.image_classification import ImageClassificationInput
from server.engine import Answer, Engine
from server.errors import Fault
from tests.open_files import open_files
from tests.server.serving import (
    ask,
    at_rest,
    code_of,
    codes_of,
    ended,
    held,
    lawful,
    serving,
    settings_of,
    until,
    waiting,
)
from tests.tiny import make_image_classifier, make_text_classifier


def children_here() -> list[psutil.Process]:
    """Our own: what other tests' servers start and end is theirs."""
    return psutil.Process().children()


async def test_a_killed_worker_fails_what_was_on_it_and_serves_the_rest(
    tmp_path: Path,
) -> None:  # P3
    async with serving(tmp_path) as engine:
        files, children = open_files(), len(children_here())
        for kills in range(1, 4):
            async with held(engine) as first:
                queued = [ask(engine, f"text {i}") for i in range(40)]
                await until(waiting(engine, 40))
                assert engine.worker.pid is not None
                os.kill(engine.worker.pid, signal.SIGKILL)
                assert await asyncio.wait_for(code_of(first), 5) == "worker_died"
                assert not engine.ready()
            assert await codes_of(queued) == ["ok"] * 40
            assert engine.worker.restarts == kills
            assert engine.ready()
            assert lawful(engine)
        assert at_rest(engine)
        assert (open_files() - files).total() == 1  # the fourth worker's socket
        assert len(children_here()) == children
        assert all(child.status() != psutil.STATUS_ZOMBIE for child in children_here())


async def test_queued_requests_keep_their_deadlines_while_there_is_no_worker(
    tmp_path: Path,
) -> None:
    plan = [{"on": "start", "action": "hang"}]
    async with Engine(settings_of(tmp_path, plan)) as engine:
        assert not engine.ready()
        assert await code_of(ask(engine, "hello", timeout_ms=100)) == "deadline"
        assert at_rest(engine)


async def test_a_worker_that_dies_at_start_is_not_ready_and_not_for_ever(
    tmp_path: Path,
) -> None:  # P5
    plan = [{"on": "start", "action": "crash"}]
    async with Engine(settings_of(tmp_path, plan)) as engine:
        await until(lambda: engine.worker.restarts == 1)
        began, cpu = time.monotonic(), time.process_time()
        await until(lambda: engine.worker.pid is not None)
        assert time.monotonic() - began > 0.5  # the back-off is 1 s
        assert time.process_time() - cpu < 0.5
        assert not engine.ready()
        engine.settings.fault_plan.write_text("[]")  # type: ignore[union-attr]
        assert await code_of(ask(engine, "hello")) == "ok"
        assert engine.ready()


async def test_a_worker_that_stands_still_is_replaced(tmp_path: Path) -> None:  # P4
    async with serving(tmp_path, batch_timeout_s=0.5) as engine:
        async with held(engine) as first:
            queued = ask(engine, "patient")
            with pytest.raises(Fault, match=r"0\.5 s") as caught:
                await asyncio.wait_for(first, 10)
            assert caught.value.code == "worker_died"
        assert await code_of(queued) == "ok"
        assert engine.worker.restarts == 1


async def test_a_batch_that_hangs_is_ended(tmp_path: Path) -> None:
    plan = [{"on": "forward", "contains": "hang", "action": "hang"}]
    async with serving(tmp_path, plan, batch_timeout_s=0.5) as engine:
        assert await code_of(ask(engine, "hang")) == "worker_died"
        assert await code_of(ask(engine, "next")) == "ok"


async def test_draining_answers_what_was_accepted_and_refuses_the_rest(
    tmp_path: Path,
) -> None:  # P1
    async with serving(tmp_path) as engine:
        async with held(engine) as first:
            accepted = [ask(engine, f"text {i}") for i in range(50)]
            await until(waiting(engine, 50))
            draining = asyncio.create_task(engine.drain())
            await asyncio.sleep(0)
            assert await code_of(ask(engine, "too late")) == "draining"
            assert not engine.ready()
            assert not draining.done()
        assert await draining
        assert await codes_of([first, *accepted]) == ["ok"] * 51
        assert ended(engine, "completed") == 52
        assert at_rest(engine)


async def test_a_drain_ends_with_its_grace(tmp_path: Path) -> None:  # P2
    async with serving(tmp_path, drain_grace_s=0.2) as engine, held(engine) as first:
        queued = ask(engine, "waiting")
        await until(waiting(engine, 1))
        assert not await engine.drain()
        await engine.close()
        assert await codes_of([first, queued]) == ["draining", "draining"]


async def test_closing_answers_everyone_and_leaves_no_process(tmp_path: Path) -> None:
    before = children_here()
    files = open_files()
    async with serving(tmp_path) as engine:
        async with held(engine) as first:
            queued = [ask(engine, f"text {i}") for i in range(40)]
            await until(waiting(engine, 40))
            await engine.close()
            assert await codes_of([first, *queued]) == ["draining"] * 41
        assert at_rest(engine)
        assert lawful(engine)
        assert await code_of(ask(engine, "after")) == "draining"
    assert children_here() == before
    assert not open_files() - files


async def test_closing_while_loading_answers_everyone(tmp_path: Path) -> None:
    make_text_classifier(tmp_path / "models" / "slow")
    plan = [{"on": "load", "model": "slow", "action": "hang"}]
    async with serving(tmp_path, plan) as engine:
        requests = [ask(engine, f"text {i}", model="slow") for i in range(5)]
        slot = engine.registry.slots["slow"]
        await until(lambda: slot.state == "loading")
        await engine.close()
        assert await codes_of(requests) == ["draining"] * 5


async def test_closing_before_the_start_is_over(tmp_path: Path) -> None:
    async with Engine(settings_of(tmp_path)) as engine:
        request = ask(engine, "hello")
        await until(waiting(engine, 1))
    assert await code_of(request) == "draining"


# Media children


def see(engine: Engine, image: bytes, **options: Any) -> "asyncio.Future[Answer]":
    items = [ImageClassificationInput(image)]
    return asyncio.ensure_future(
        engine.predict("image-classification", items, model="pictures", **options)
    )


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 30, 30)).save(file, "PNG")
    return file.getvalue()


async def test_images_go_through_the_media_child(tmp_path: Path) -> None:
    make_image_classifier(tmp_path / "models" / "pictures")
    async with serving(tmp_path, media_timeout_s=1.0, media_processes=1) as engine:
        [child] = engine.media._children
        assert await code_of(see(engine, png())) == "ok"
        assert await code_of(see(engine, png()[:60])) == "invalid_input"
        assert await code_of(see(engine, b"GIF89a")) == "unsupported_media_type"

        assert child.pid is not None
        os.kill(child.pid, signal.SIGSTOP)  # as if one image took too long
        assert await code_of(see(engine, png())) == "too_large"
        assert await code_of(see(engine, png())) == "ok"

        assert child.pid is not None
        os.kill(child.pid, signal.SIGSTOP)
        lost = see(engine, png())
        await until(lambda: child.waiting == 1)
        left = see(engine, png())
        await until(lambda: child.waiting == 2)
        left.cancel()
        os.kill(child.pid, signal.SIGKILL)
        assert await codes_of([lost, left]) == ["worker_died", "cancelled"]
        assert await code_of(see(engine, png())) == "ok"
        assert child.restarts == 2
        assert lawful(engine)
        assert at_rest(engine)
