"""Streams: items that keep coming, and an answer to each, in order.

    items ──read ahead──► a window of them under way, each a request of its own ──in order──► taken

Who takes no answers is read no further from: beyond the window nothing is read and nothing is
computed, however long he sleeps.  Windows are smaller where many streams hold much.
"""

from __future__ import annotations

import asyncio
import traceback
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, Protocol
from weakref import WeakSet

from server.answering import Answer
from server.errors import Fault

WINDOW = 8  # items that are under way, or whose answers have not been taken
WINDOW_BYTES = 4 * 1024 * 1024  # of these items, where they are more than two
ROOM_BYTES = 128 * 1024 * 1024  # of all streams, where a stream has more than one

Outcome = Answer | Fault
Line = asyncio.Queue[asyncio.Task[Outcome] | None]


class Holder(Protocol):
    """What streams keep in memory."""

    @property
    def nbytes(self) -> int:
        """How much it is."""


class Room:
    """For what all streams together keep in memory, without which they go on as well, slower."""

    def __init__(self, limit: int = ROOM_BYTES) -> None:
        self._limit = limit
        self._holders: WeakSet[Holder] = WeakSet()  # to count them anew cannot go wrong

    def has(self, size: int) -> bool:
        """Whether `size` more bytes fit in."""
        return sum(holder.nbytes for holder in self._holders) + size <= self._limit

    def add(self, holder: Holder) -> None:
        """Counts it for as long as it lives."""
        self._holders.add(holder)


class Idle:
    """How long a stream may stand still: nothing comes, and nothing is left to answer."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.closed = False
        self.waiting: set[Clock] = set()

    def close(self) -> None:
        """Ends the streams that stand still, and the others as soon as they do."""
        self.closed = True
        for clock in self.waiting:
            clock.set()


class Clock:
    """The time that one stream stands still."""

    def __init__(self, idle: Idle) -> None:
        self._idle = idle
        self._stopped = False
        self._wait: asyncio.Timeout | None = None

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Within the block it is not the client who is waited for."""
        self._stopped = True
        self.set()
        try:
            yield
        finally:
            self._stopped = False
            self.set()

    async def next(self, line: Line) -> asyncio.Task[Outcome] | None:
        """The next one of the line; Fault too_slow, or draining after `close`."""
        self._wait = asyncio.timeout_at(self._end())
        self._idle.waiting.add(self)
        try:
            async with self._wait:
                return await line.get()
        except TimeoutError:
            if self._idle.closed:
                raise Fault("draining", "the server is shutting down: ask another one") from None
            raise Fault(
                "too_slow",
                f"the stream stood still for {self._idle.limit_s:g} s: send the next one sooner, "
                "or end the stream and open another",
            ) from None
        finally:
            self._idle.waiting.discard(self)
            self._wait = None

    def set(self) -> None:
        """Starts the time anew, if it runs and somebody waits."""
        if self._wait is not None and not self._wait.expired():
            self._wait.reschedule(self._end())

    def _end(self) -> float | None:
        """When the time is up: long ago, now; None: never."""
        if self._idle.closed:
            return 0
        return None if self._stopped else asyncio.get_running_loop().time() + self._idle.limit_s


class Stream:
    """The outcomes of a stream's items, in order.  Needs a running loop, and to be closed."""

    def __init__(
        self,
        items: AsyncGenerator[Any, None],
        answer: Callable[[Any, int], Awaitable[Answer]],
        weight: Callable[[Any], int],
        idle: Idle,
        room: Room,
    ) -> None:
        """`answer` takes an item and how many are under way, itself among them."""
        self.clock = Clock(idle)
        self._items = items
        self._answer = answer
        self._weight = weight
        self._room = room
        self._line: Line = asyncio.Queue()
        self._running: set[asyncio.Task[Outcome]] = set()
        self._window: deque[int] = deque()  # sizes of the items whose outcome is not done with
        self._given = False  # the first one's, which is with who asked
        self._taken = asyncio.Event()
        self._reader = asyncio.create_task(self._read())
        room.add(self)

    @property
    def nbytes(self) -> int:
        """Of the items whose outcome is not done with."""
        return sum(self._window)

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Outcome:
        """What became of the next item, the one before it being done with.

        What ends a stream is raised after the outcomes before it: Fault too_slow or draining, and
        whatever the items raise.
        """
        if self._given:
            self._given = False
            self._window.popleft()
            self._taken.set()
        task = await self.clock.next(self._line)
        if task is None:
            await self._reader
            raise StopAsyncIteration
        await asyncio.wait((task,))  # to await it would cancel it together with us
        self._given = True
        outcome = task.result()
        if isinstance(outcome, Fault) and outcome.code == "draining":
            raise outcome
        return outcome

    async def close(self, *, late: bool = False) -> None:
        """Gives up what is under way; where the stream is `late`, so is each item, and says so."""
        self._reader.cancel()
        if not late:
            for task in self._running:
                task.cancel()
        await asyncio.gather(self._reader, *self._running, return_exceptions=True)
        self._window.clear()

    async def _read(self) -> None:
        size = 0
        try:
            async with aclosing(self._items) as items:
                async for item in items:
                    size = size if isinstance(item, Fault) else self._weight(item)
                    place = len(self._running) + 1
                    task = asyncio.create_task(self._outcome(item, place))
                    self._running.add(task)
                    task.add_done_callback(self._running.discard)
                    self._window.append(size)
                    self._line.put_nowait(task)
                    del item, task  # not to be held until the next one comes
                    while not self._has_room(size):  # for one more like the last
                        self._taken.clear()
                        await self._taken.wait()
        finally:
            self._line.put_nowait(None)

    def _has_room(self, size: int) -> bool:
        count = len(self._window)
        if count == 0:
            return True  # and so it need not be told when others make room
        few = count < 2 or self.nbytes + size <= WINDOW_BYTES
        return count < WINDOW and few and self._room.has(size)

    async def _outcome(self, item: Any, place: int) -> Outcome:
        if isinstance(item, Fault):
            return item
        try:
            return await self._answer(item, place)
        except Fault as fault:
            traceback.clear_frames(fault.__traceback__)  # they hold the item, and the fault them
            return fault.with_traceback(None)
