"""Rows of many callers, one device: everybody gets his own answer, whatever happens."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from server.engine import Engine
from server.errors import INTERNAL, Fault
from tests.server.serving import (
    ask,
    at_rest,
    code_of,
    codes_of,
    computed,
    ended,
    held,
    lawful,
    serving,
    until,
    waiting,
)
from tests.tiny import make_text_classifier

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLAN: list[dict[str, object]] = [
    {"on": "forward", "contains": "poison", "action": "raise"},
    {"on": "forward", "contains": "too heavy", "action": "oom"},
    {"on": "forward", "contains": "heavy", "action": "oom", "above": 4},
    {"on": "forward", "contains": "linger", "action": "delay", "seconds": 0.3},
    {"on": "forward", "contains": "kill the worker", "action": "crash"},
]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    folder = tmp_path_factory.mktemp("batcher")
    make_text_classifier(folder / "models" / "nan", nan_byte=7)
    async with serving(folder, PLAN) as engine:
        yield engine
        assert lawful(engine)
        assert at_rest(engine)


def texts(count: int) -> list[str]:
    return [f"text number {i}" for i in range(count)]


async def alone(engine: Engine, given: list[str]) -> dict[str, object]:
    """The answer to each text when it rides alone."""
    return {text: (await ask(engine, text)).outputs for text in given}


async def test_requests_that_wait_ride_together(engine: Engine) -> None:
    expected = await alone(engine, texts(31))
    async with held(engine) as first:
        requests = {text: ask(engine, text) for text in texts(31)}
        await until(waiting(engine, 31))
    await first
    for text, request in requests.items():
        answer = await request
        assert answer.batch_size == 31
        assert answer.outputs == expected[text]


async def test_an_idle_device_starts_at_once_and_nothing_ticks(engine: Engine) -> None:
    answer = await ask(engine, "hello")
    assert answer.batch_size == 1
    assert answer.timings["queue"] < 1000
    await asyncio.sleep(0)
    timers = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    assert [timer for timer in timers if not timer.cancelled()] == []


async def test_one_that_raises_among_32_fails_alone(engine: Engine) -> None:  # B1
    expected = await alone(engine, texts(31))
    async with held(engine) as first:
        poisoned = ask(engine, "some poison")
        requests = {text: ask(engine, text) for text in texts(31)}
        await until(waiting(engine, 32))
    await first
    with pytest.raises(Fault) as caught:
        await poisoned
    assert (caught.value.code, caught.value.message) == ("internal", INTERNAL)
    for text, request in requests.items():
        answer = await request
        assert answer.batch_size == 32
        assert answer.outputs == expected[text]


async def test_one_that_gives_nan_among_32_fails_alone(engine: Engine) -> None:  # B2
    expected = {text: (await ask(engine, text, model="nan")).outputs for text in texts(31)}
    async with held(engine) as first:
        poisoned = ask(engine, "a \x07 rings", model="nan")
        requests = {text: ask(engine, text, model="nan") for text in texts(31)}
        await until(waiting(engine, 32))
    await first
    assert await code_of(poisoned) == "non_finite_output"
    for text, request in requests.items():
        answer = await request
        assert answer.batch_size == 32
        assert answer.outputs == expected[text]


async def test_a_batch_that_does_not_fit_is_split_until_it_does(engine: Engine) -> None:  # P7
    async with held(engine) as first:
        requests = [ask(engine, f"heavy {i}") for i in range(15)]
        alone_too_heavy = ask(engine, "too heavy")
        await until(waiting(engine, 16))
    await first
    assert await codes_of(requests) == ["ok"] * 15
    assert await code_of(alone_too_heavy) == "out_of_memory"


async def test_expired_requests_are_never_computed(engine: Engine) -> None:  # T4
    before, expired = computed(engine), ended(engine, "expired")
    async with held(engine) as first:
        requests = [ask(engine, f"late {i}", timeout_ms=100) for i in range(200)]
        assert await codes_of(requests) == ["deadline"] * 200
        assert ended(engine, "expired") - expired == 200
    assert await code_of(first) == "ok"
    assert await code_of(ask(engine, "next")) == "ok"
    assert computed(engine) - before == 2


async def test_a_caller_in_flight_is_answered_at_his_deadline(engine: Engine) -> None:
    async with held(engine):
        pass
    await until(lambda: at_rest(engine))
    pid = engine.worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        assert await code_of(ask(engine, "late", timeout_ms=100)) == "deadline"
        assert at_rest(engine)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert await code_of(ask(engine, "next")) == "ok"  # and not the late one's answer


async def test_the_work_of_callers_who_left_is_not_done(engine: Engine) -> None:  # T5
    before, cancelled = computed(engine), ended(engine, "cancelled")
    async with held(engine) as first:
        requests = [ask(engine, f"gone {i}") for i in range(200)]
        await until(waiting(engine, 200))
        for request in requests:
            request.cancel()
        assert await codes_of(requests) == ["cancelled"] * 200
        assert ended(engine, "cancelled") - cancelled == 200
        assert engine.ledger.waiting_rows == 0
        assert not engine.batcher._waiting.models()  # their rows are gone, too
    assert await code_of(first) == "ok"
    assert await code_of(ask(engine, "next")) == "ok"
    assert computed(engine) - before == 2


async def test_neighbours_of_a_cancelled_caller_are_served(engine: Engine) -> None:
    async with held(engine) as first:
        requests = [ask(engine, text) for text in texts(30)]
        await until(waiting(engine, 30))
        for request in requests[::3]:
            request.cancel()
    expected = ["cancelled" if i % 3 == 0 else "ok" for i in range(30)]
    assert await codes_of(requests) == expected
    await first


async def test_neighbours_of_one_who_leaves_in_flight_are_served(engine: Engine) -> None:
    async with held(engine) as first:
        requests = [ask(engine, f"linger {i}") for i in range(5)]
        await until(waiting(engine, 5))
    await first
    await until(lambda: sum(engine.ledger.in_flight.values()) == 5)
    requests[2].cancel()
    assert await codes_of(requests) == ["ok", "ok", "cancelled", "ok", "ok"]


async def test_a_full_queue_refuses_the_next_and_only_the_next(engine: Engine) -> None:
    limit = engine.settings.max_queue
    async with held(engine) as first:
        requests = [ask(engine, f"text {i}") for i in range(limit)]
        await until(waiting(engine, limit))
        with pytest.raises(Fault) as caught:
            await ask(engine, "one too many")
        assert caught.value.code == "queue_full"
        assert (caught.value.retry_after or 0) >= 1
    assert await codes_of([first, *requests]) == ["ok"] * (limit + 1)


async def test_a_request_of_many_items_rides_in_several_batches(engine: Engine) -> None:
    expected = await alone(engine, texts(70))
    answer = await ask(engine, *texts(70))
    assert [[output] for output in answer.outputs] == list(expected.values())
    assert answer.batch_size == 32


async def test_a_large_request_lets_others_pass_between_its_batches(engine: Engine) -> None:  # T3
    batches = engine.batcher.batches["tiny"]
    async with held(engine):
        large = ask(engine, *texts(100))
        await until(waiting(engine, 1))
        small = [ask(engine, text) for text in texts(3)]
        await until(waiting(engine, 4))
    await asyncio.gather(*small)
    assert not large.done()
    assert engine.batcher.batches["tiny"] - batches <= 3  # one that held, one of each
    await large


async def test_a_failed_item_is_named(engine: Engine) -> None:
    before = computed(engine)
    with pytest.raises(Fault, match=r"^inputs\[2\]: "):
        await ask(engine, "good", "good", "some poison", *texts(80))
    assert await code_of(ask(engine, "next")) == "ok"
    assert computed(engine) - before == 32 + 1  # the rows behind the failed batch were dropped


async def test_a_pill_that_kills_the_worker_is_not_tried_again(engine: Engine) -> None:
    restarts = engine.worker.restarts
    assert await code_of(ask(engine, "kill the worker")) == "worker_died"
    assert await code_of(ask(engine, "next")) == "ok"
    assert engine.worker.restarts == restarts + 1


async def test_everyone_gets_his_own_answer_in_a_storm(engine: Engine) -> None:  # B6
    expected = await alone(engine, texts(100))
    requests = {text: ask(engine, text) for text in texts(100)}
    await asyncio.sleep(0)
    for request in list(requests.values())[::2]:
        request.cancel()
    for text, request in list(requests.items())[1::2]:
        assert (await request).outputs == expected[text]


async def test_the_law_holds_at_every_moment_of_a_storm(engine: Engine) -> None:  # M1
    storm = asyncio.gather(
        *(code_of(ask(engine, f"text {i}")) for i in range(60)),
        *(code_of(ask(engine, f"poison {i}")) for i in range(5)),
        *(code_of(ask(engine, f"late {i}", timeout_ms=1)) for i in range(20)),
        *(code_of(ask(engine, "")) for _ in range(5)),
    )
    leavers = [ask(engine, f"gone {i}") for i in range(20)]
    looks = 0
    while not storm.done():
        assert lawful(engine)
        looks += 1
        await asyncio.sleep(0)
        if leavers and looks % 3 == 0:
            leavers.pop().cancel()
    assert looks > 20
    await codes_of(leavers)
    assert set(await storm) <= {"ok", "internal", "deadline", "invalid_input"}
    await until(lambda: at_rest(engine))
    assert lawful(engine)


async def test_the_loop_outlives_its_own_bugs(engine: Engine) -> None:
    """A row that no frame can carry, and a model that no registry knows."""
    ticket = engine.ledger.receive("tiny", "rest", asyncio.get_running_loop().time() + 60)
    for model, row in (("tiny", {"x": np.zeros(1, object)}), ("nobody", {"x": np.zeros(1)})):
        with pytest.raises(Fault) as caught:
            await asyncio.wait_for(engine.batcher.submit(ticket, model, [row]), 10)
        assert caught.value.code == "internal"
    ticket.end("failed")
    assert await code_of(ask(engine, "next")) == "ok"
