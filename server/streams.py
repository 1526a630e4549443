"""Streams: items that keep coming, and an answer to each, in order.

    items ──read ahead──► a window of them under way, each a request of its own ──in order──► taken

Who takes no answers is read no further from: beyond the window nothing is read and nothing is
computed, however long he sleeps.
"""

from __future__ import annotations

import asyncio
import traceback
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from server.answering import Answer
from server.errors import Fault

WINDOW = 8  # items that are under way, or whose answers have not been taken
WINDOW_BYTES = 4 * 1024 * 1024  # of these items, where they are more than two

Outcome = Answer | Fault
Line = asyncio.Queue[asyncio.Task[Outcome] | None]


class Idle:
    """How long a stream may stand still: nothing comes, and nothing is left to answer."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._waits: set[asyncio.Timeout] = set()
        self._closed = False

    def close(self) -> None:
        """Ends the streams that stand still, and the others as soon as they do."""
        self._closed = True
        for wait in self._waits:
            wait.reschedule(0)  # long ago: now

    async def next(self, line: Line) -> asyncio.Task[Outcome] | None:
        """The next one of the line; Fault too_slow, or draining after `close`."""
        wait = asyncio.timeout(0 if self._closed and line.empty() else self._limit_s)
        try:
            async with wait:
                self._waits.add(wait)
                return await line.get()
        except TimeoutError:
            if self._closed:
                raise Fault("draining", "the server is shutting down: ask another one") from None
            raise Fault(
                "too_slow",
                f"the stream stood still for {self._limit_s:g} s: send the next one sooner, or "
                "end the stream and open another",
            ) from None
        finally:
            self._waits.discard(wait)


class Stream:
    """The outcomes of a stream's items, in order.  Needs a running loop, and to be closed."""

    def __init__(
        self,
        items: AsyncGenerator[Any, None],
        answer: Callable[[Any, int], Awaitable[Answer]],
        weight: Callable[[Any], int],
        idle: Idle,
    ) -> None:
        """`answer` takes an item and how many are under way, itself among them."""
        self._items = items
        self._answer = answer
        self._weight = weight
        self._idle = idle
        self._line: Line = asyncio.Queue()
        self._running: set[asyncio.Task[Outcome]] = set()
        self._window: deque[int] = deque()  # sizes of the items whose outcome is not done with
        self._given = False  # the first one's, which is with who asked
        self._taken = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

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
        task = await self._idle.next(self._line)
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

    async def _read(self) -> None:
        try:
            async with aclosing(self._items) as items:
                async for item in items:
                    size = 0 if isinstance(item, Fault) else self._weight(item)
                    while not self._has_room(size):
                        self._taken.clear()
                        await self._taken.wait()
                    place = len(self._running) + 1
                    task = asyncio.create_task(self._outcome(item, place))
                    self._running.add(task)
                    task.add_done_callback(self._running.discard)
                    self._window.append(size)
                    self._line.put_nowait(task)
                    del item, task  # not to be held until the next one comes
        finally:
            self._line.put_nowait(None)

    def _has_room(self, size: int) -> bool:
        count = len(self._window)
        return count < 2 or (count < WINDOW and sum(self._window) + size <= WINDOW_BYTES)

    async def _outcome(self, item: Any, place: int) -> Outcome:
        if isinstance(item, Fault):
            return item
        try:
            return await self._answer(item, place)
        except Fault as fault:
            traceback.clear_frames(fault.__traceback__)  # they hold the item, and the fault them
            return fault.with_traceback(None)
