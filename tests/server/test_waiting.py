"""The queues: who is taken next, and who is not taken at all."""

import asyncio

import numpy as np
import pytest

from server.frames import Row
from server.ledger import Ledger, Ticket
from server.waiting import Waiting


def ticket(seconds: float = 60.0) -> Ticket:
    """A request with so much time left."""
    deadline = asyncio.get_running_loop().time() + seconds
    return Ledger(max_queue=100, max_batch=10).receive("m", "rest", deadline)


def rows(count: int) -> list[Row]:
    return [{"x": np.array([i])} for i in range(count)]


async def test_the_model_that_has_waited_longest_is_next() -> None:
    waiting = Waiting()
    assert waiting.oldest() is None
    first = waiting.add("b", ticket(), rows(1))
    waiting.add("a", ticket(), rows(1))
    waiting.add("b", ticket(), rows(1))
    assert waiting.oldest() == "b"
    waiting.discard(first)
    assert waiting.oldest() == "a"
    assert set(waiting.models()) == {"a", "b"}


async def test_rows_are_taken_in_order_across_requests() -> None:
    waiting = Waiting()
    one, two = waiting.add("m", ticket(), rows(3)), waiting.add("m", ticket(), rows(4))
    assert waiting.take("m", 5) == [(one, 0), (one, 1), (one, 2), (two, 0), (two, 1)]
    assert waiting.take("m", 5) == [(two, 2), (two, 3)]
    assert waiting.take("m", 5) == []
    assert not waiting.models()


async def test_a_batch_is_of_one_model() -> None:
    waiting = Waiting()
    waiting.add("a", ticket(), rows(1))
    b = waiting.add("b", ticket(), rows(1))
    assert waiting.take("b", 5) == [(b, 0)]


async def test_who_has_gone_is_not_taken() -> None:
    waiting = Waiting()
    gone, there = waiting.add("m", ticket(), rows(2)), waiting.add("m", ticket(), rows(1))
    gone.answer.cancel()
    assert waiting.take("m", 5) == [(there, 0)]


async def test_who_is_late_is_not_taken_even_before_he_is_told() -> None:
    waiting = Waiting()
    late, there = waiting.add("m", ticket(0.0), rows(2)), waiting.add("m", ticket(), rows(1))
    assert not late.answer.done()
    assert waiting.take("m", 5) == [(there, 0)]


async def test_a_model_that_only_the_gone_wait_for_is_not_next() -> None:
    waiting = Waiting()
    waiting.add("m", ticket(0.0), rows(2))
    assert waiting.oldest() is None


async def test_the_last_row_answers_and_whoever_has_gone_is_left_alone() -> None:
    waiting = Waiting()
    entry = waiting.add("m", ticket(), rows(2))
    entry.put(1, {"y": np.array([1])})
    assert not entry.answer.done()
    entry.put(0, {"y": np.array([0])})
    assert [row["y"][0] for row in entry.answer.result().rows] == [0, 1]
    gone = waiting.add("m", ticket(), rows(1))
    gone.answer.cancel()
    gone.put(0, {})
    assert gone.answer.cancelled()


async def test_a_request_without_rows_is_our_bug() -> None:
    with pytest.raises(AssertionError, match="at least one row"):
        Waiting().add("m", ticket(), [])
