"""Streams on their own: order, the window, what ends them.  Answers come when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from server.answering import Answer
from server.errors import Fault
from server.streams import WINDOW, WINDOW_BYTES, Idle, Room, Stream

FOR_EVER_S = 60.0


class Source:
    """Items 0, 1, 2 … and what becomes of each."""

    def __init__(self, count: int, end: Exception | None = None) -> None:
        self.read = 0
        self.closed = False
        self.answers: dict[int, asyncio.Future[None]] = {}
        self.places: list[int] = []
        self.answered: list[int] = []
        self._count = count
        self._end = end

    async def items(self) -> AsyncGenerator[Any, None]:
        try:
            for number in range(self._count):
                self.read += 1
                yield number
            if self._end is not None:
                raise self._end
        finally:
            self.closed = True

    def waiting(self, number: int) -> asyncio.Future[None]:
        return self.answers.setdefault(number, asyncio.get_running_loop().create_future())

    async def answer(self, number: int, place: int) -> Answer:
        self.places.append(place)
        await self.waiting(number)
        self.answered.append(number)
        return Answer([number], "m", 1, {})

    def stream(
        self,
        weight: Callable[[Any], int] = lambda _: 0,
        idle: Idle | None = None,
        room: Room | None = None,
    ) -> Stream:
        idle, room = idle or Idle(FOR_EVER_S), room or Room()
        return Stream(self.items(), self.answer, weight, idle, room)


async def settled() -> None:
    """Whatever can happen without an answer has happened."""
    for _ in range(50):
        await asyncio.sleep(0)


async def taken(stream: Stream, count: int) -> list[Any]:
    return [(await anext(stream)).outputs[0] for _ in range(count)]  # type: ignore[union-attr]


async def test_answers_come_in_the_order_of_the_items() -> None:
    source = Source(WINDOW)
    stream = source.stream()
    for number in reversed(range(WINDOW)):
        await settled()
        source.waiting(number).set_result(None)
    assert await taken(stream, WINDOW) == list(range(WINDOW))
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    await stream.close()


async def test_who_takes_no_answers_is_read_no_further_from() -> None:
    source = Source(100)
    stream = source.stream()
    for number in range(100):
        source.waiting(number).set_result(None)
    await settled()
    assert (source.read, len(source.places)) == (WINDOW, WINDOW)
    await taken(stream, 1)  # it is being read: that it was taken, the next call says
    await settled()
    assert source.read == WINDOW
    await taken(stream, 1)
    await settled()
    assert source.read == WINDOW + 1
    await stream.close()
    assert source.closed


async def test_of_large_items_two_are_under_way() -> None:
    source = Source(100)
    stream = source.stream(weight=lambda _: WINDOW_BYTES)
    await settled()
    assert (source.read, len(source.places)) == (2, 2)
    await stream.close()
    assert source.closed


async def test_where_all_streams_hold_much_each_has_one_under_way() -> None:
    room = Room(2 * WINDOW_BYTES)
    sources = [Source(100) for _ in range(4)]
    streams = [source.stream(lambda _: WINDOW_BYTES, room=room) for source in sources]
    await settled()
    assert [source.read for source in sources] == [2, 1, 1, 1]
    await asyncio.gather(*(stream.close() for stream in streams[:3]))
    sources[3].waiting(0).set_result(None)
    await taken(streams[3], 1)
    asked = asyncio.ensure_future(anext(streams[3]))
    await settled()
    assert sources[3].read == 3  # the first is done with, and there is room for two
    await streams[3].close()
    asked.cancel()


async def test_room_is_what_is_alive_in_it() -> None:
    class Kept:
        nbytes = 60

    room, kept = Room(100), Kept()
    assert room.has(100)
    room.add(kept)
    assert (room.has(40), room.has(41)) == (True, False)
    del kept
    assert room.has(100)


async def test_an_item_has_the_time_of_those_before_it_too() -> None:
    source = Source(WINDOW)
    stream = source.stream()
    await settled()
    assert source.places == list(range(1, WINDOW + 1))
    await stream.close()


async def test_closing_gives_up_what_is_under_way() -> None:
    source = Source(100)
    stream = source.stream()
    await settled()
    await stream.close()
    assert all(answer.cancelled() for answer in source.answers.values())
    assert source.closed
    assert len(asyncio.all_tasks()) == 1


async def test_who_is_cancelled_while_he_waits_gives_up_nothing_yet() -> None:
    source = Source(1)
    stream = source.stream()
    taking = asyncio.ensure_future(anext(stream))
    await settled()
    taking.cancel()
    await asyncio.wait((taking,))
    assert not source.waiting(0).cancelled()
    await stream.close()


async def test_a_late_stream_leaves_it_to_its_items_to_end() -> None:
    source = Source(1)
    stream = source.stream()
    await settled()
    closing = asyncio.ensure_future(stream.close(late=True))
    await settled()
    assert not closing.done()
    source.waiting(0).set_result(None)
    await closing
    assert source.answered == [0]


async def test_what_ends_the_items_comes_after_the_answers_before_it() -> None:
    source = Source(2, ValueError("no item"))
    stream = source.stream()
    for number in range(2):
        source.waiting(number).set_result(None)
    assert await taken(stream, 2) == [0, 1]
    with pytest.raises(ValueError, match="no item"):
        await anext(stream)
    await stream.close()


async def test_a_fault_is_its_own_answer() -> None:
    async def items() -> AsyncGenerator[Any, None]:
        yield Fault("invalid_input", "a bad one")

    async def answer(_: Any, __: int) -> Answer:
        raise AssertionError

    async with aclosing(items()) as bad:
        stream = Stream(bad, answer, len, Idle(FOR_EVER_S), Room())
        outcome = await anext(stream)
        assert isinstance(outcome, Fault)
        assert outcome.code == "invalid_input"
        await stream.close()


async def endless() -> AsyncGenerator[Any, None]:
    yield 0
    await asyncio.Event().wait()


async def test_a_stream_that_stands_still_ends() -> None:
    source = Source(0)
    source.waiting(0).set_result(None)
    stream = Stream(endless(), source.answer, lambda _: 0, Idle(0.05), Room())
    assert await taken(stream, 1) == [0]
    with pytest.raises(Fault, match=r"stood still for 0\.05 s") as caught:
        await anext(stream)
    assert caught.value.code == "too_slow"
    await stream.close()


async def test_while_an_answer_is_waited_for_no_stream_stands_still() -> None:
    source = Source(0)
    stream = Stream(endless(), source.answer, lambda _: 0, Idle(0.05), Room())
    asyncio.get_running_loop().call_later(0.2, source.waiting(0).set_result, None)
    assert await taken(stream, 1) == [0]
    await stream.close()


async def test_while_a_message_is_worked_on_no_stream_stands_still() -> None:
    working, waiting = asyncio.Event(), asyncio.Event()

    async def items() -> AsyncGenerator[Any, None]:
        with stream.clock.stopped():
            working.set()
            await waiting.wait()
        await asyncio.Event().wait()
        yield 0

    stream = Stream(items(), Source(0).answer, lambda _: 0, Idle(0.05), Room())
    taking = asyncio.ensure_future(anext(stream))
    await working.wait()
    await asyncio.wait((taking,), timeout=0.2)  # far longer than it may stand still
    assert not taking.done()
    waiting.set()
    with pytest.raises(Fault, match=r"stood still for 0\.05 s"):
        await taking
    await stream.close()


async def test_a_drain_ends_a_stream_whose_message_is_worked_on() -> None:
    working, idle = asyncio.Event(), Idle(FOR_EVER_S)

    async def items() -> AsyncGenerator[Any, None]:
        with stream.clock.stopped():
            working.set()
            await asyncio.Event().wait()
        yield 0

    stream = Stream(items(), Source(0).answer, lambda _: 0, idle, Room())
    taking = asyncio.ensure_future(anext(stream))
    await working.wait()
    await settled()
    idle.close()
    with pytest.raises(Fault) as caught:
        await taking
    assert caught.value.code == "draining"
    await stream.close()


async def test_a_drain_ends_streams_once_their_answers_are_out() -> None:
    idle, source = Idle(FOR_EVER_S), Source(0)
    streams = [Stream(endless(), source.answer, lambda _: 0, idle, Room()) for _ in range(2)]
    source.waiting(0).set_result(None)
    await taken(streams[0], 1)
    still = asyncio.ensure_future(anext(streams[0]))
    await settled()
    idle.close()
    assert await taken(streams[1], 1) == [0]
    for ending in (still, anext(streams[1])):
        with pytest.raises(Fault) as caught:
            await ending
        assert caught.value.code == "draining"
    for stream in streams:
        await stream.close()
