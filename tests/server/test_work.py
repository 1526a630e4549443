"""Results in turns: nobody waits behind a request of many slow items, nobody works for the gone."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from server.work import Work
from tests.server.serving import until


class Slow:
    """A pipeline whose items say how long their results take."""

    def __init__(self) -> None:
        self.made = 0
        self.threads: set[int] = set()

    def quick(self, item: float) -> bool:
        return item == 0

    def postprocess(self, item: float, rows: list[Any]) -> tuple[float, int]:
        time.sleep(item)
        self.made += 1
        self.threads.add(threading.get_ident())
        return item, rows[0]["row"]


def work(*items: float) -> Work:
    pipeline: Any = Slow()
    return Work(pipeline, items, rows_of(items), list(range(len(items) + 1)))


def rows_of(items: Any) -> list[Any]:
    return [{"row": i} for i in range(len(items))]


def made_by(work: Work) -> int:
    """Results so far."""
    pipeline: Any = work.pipeline
    return int(pipeline.made)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


async def test_every_item_gets_its_own_result(threads: ThreadPoolExecutor) -> None:
    items = [0.0] * 50 + [0.03] * 3 + [0.0] * 50
    results = await work(*items).outputs(rows_of(items), threads)
    assert results == [(item, i) for i, item in enumerate(items)]


async def test_a_quick_request_does_not_wait_for_the_items_of_slow_ones(
    threads: ThreadPoolExecutor,
) -> None:
    slow = [work(*[0.05] * 40) for _ in range(4)]
    running = [asyncio.create_task(one.outputs(rows_of(one.items), threads)) for one in slow]
    await until(lambda: all(made_by(one) for one in slow))
    await work(0.0, 0.0).outputs(rows_of([0, 0]), threads)
    assert not any(task.done() for task in running)  # they take 4 s
    for task in running:
        task.cancel()


async def test_nothing_more_is_made_for_who_has_gone(threads: ThreadPoolExecutor) -> None:
    one = work(*[0.05] * 40)
    running = asyncio.create_task(one.outputs(rows_of(one.items), threads))
    await until(lambda: made_by(one) > 0)
    running.cancel()
    made = made_by(one)
    await asyncio.wait((running,))
    await asyncio.to_thread(threads.shutdown)  # when all that was begun has ended
    assert made_by(one) <= made + 1


@pytest.mark.parametrize(("items", "here"), [([0.0], True), ([0.001], False), ([0.0, 0.0], False)])
async def test_only_a_single_quick_result_is_made_on_the_loop(
    items: list[float], here: bool, threads: ThreadPoolExecutor
) -> None:
    one = work(*items)
    await one.outputs(rows_of(items), threads)
    made_in = one.pipeline.threads  # type: ignore[attr-defined]
    assert (made_in == {threading.get_ident()}) is here
