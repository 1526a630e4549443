"""Iterating what blocks without blocking, and the other way round."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

_END = object()


async def each(items: Iterable[Any]) -> AsyncGenerator[Any, None]:
    """The items, taken in a thread, one when it is asked for."""
    wanted: SimpleQueue[Future[Any] | None] = SimpleQueue()
    # Its own: a pool has few threads, and this one is held until there is an item.  A daemon: what
    # nobody has closed must not hold the process.
    thread = threading.Thread(target=_serve, args=(iter(items), wanted), daemon=True)
    thread.start()
    try:
        while True:
            future: Future[Any] = Future()
            wanted.put(future)
            item = await asyncio.wrap_future(future)
            if item is _END:
                return
            yield item
    finally:
        wanted.put(None)


def _serve(iterator: Iterator[Any], wanted: SimpleQueue[Future[Any] | None]) -> None:
    while (future := wanted.get()) is not None:
        if not future.set_running_or_notify_cancel():
            continue
        try:
            future.set_result(next(iterator, _END))
        except BaseException as error:  # noqa: BLE001  # it is the caller's
            future.set_exception(error)


class AsBlocking:
    """An async iterable for a thread to iterate; made where its event loop runs."""

    def __init__(self, items: AsyncIterable[Any]) -> None:
        self._iterator = aiter(items)
        self._loop = asyncio.get_running_loop()
        self._coming: Future[Any] | None = None
        self._lock = threading.Lock()
        self._over = False

    def __iter__(self) -> Generator[Any, None, None]:
        while (future := self._ask()) is not None and (item := future.result()) is not _END:
            yield item

    def end(self) -> None:
        """What is waited for is cancelled, and nothing more asked for."""
        with self._lock:
            self._over = True
            if self._coming is not None:
                self._coming.cancel()

    def _ask(self) -> Future[Any] | None:
        with self._lock:
            if self._over:
                return None
            self._coming = asyncio.run_coroutine_threadsafe(self._next(), self._loop)
            return self._coming

    async def _next(self) -> Any:
        return await anext(self._iterator, _END)
