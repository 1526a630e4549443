"""REST over httpx.  Async; the blocking client runs the same in a thread of its own."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, NoReturn, TypeVar
from urllib.parse import SplitResult

import httpx
from tenacity import AsyncRetrying

from perceiver_client.call import NOT_AS_ASKED, Call, in_thread
from perceiver_client.context import Context
from perceiver_client.errors import (
    ABOUT_THE_INPUT,
    PerceiverError,
    bad_answer,
    closed,
    from_http,
    late,
    unreachable,
)
from perceiver_client.retry import policy
from perceiver_client.streams import Stream, only_over_grpc

T = TypeVar("T")

AT_ONCE = 8  # requests of one call; httpx's pool bounds those of all calls to 100 connections


class AsyncRest:
    """Sends the HTTP requests of a call and holds its deadline, over all of them and all tries."""

    def __init__(self, url: SplitResult, retries: int) -> None:
        self._url = url.geturl()
        self._retries = retries
        # trust_env=False: a proxy from the environment would get between us and a local server, and
        # gRPC does not go through it either.  timeout=None: httpx's are per read, ours is for all.
        self._http = httpx.AsyncClient(
            base_url=self._url,
            trust_env=False,
            timeout=None,  # noqa: S113  # see above
            verify=ssl.create_default_context() if url.scheme == "https" else False,
        )

    async def answer(self, call: Call, context: Context) -> list[Any]:
        try:
            async with asyncio.timeout(context.remaining()):
                replies = await self._replies(call, context)
        except TimeoutError:
            raise late(context) from None
        try:
            return call.from_http(replies)
        except NOT_AS_ASKED:
            raise bad_answer(self._url, "something else", context) from None

    def stream(self, stream: Stream, items: Any, context: Context) -> NoReturn:
        raise only_over_grpc(self._url)

    async def close(self) -> None:
        await self._http.aclose()

    async def _replies(self, call: Call, context: Context) -> list[Any]:
        """The replies in order, AT_ONCE at a time; the first error ends the rest."""
        requests = await in_thread(call, call.requests)
        turn = asyncio.Semaphore(AT_ONCE)

        async def one(index: int) -> Any:
            async with turn:
                try:
                    retrying = AsyncRetrying(**policy(self._retries, context))
                    return await retrying(self._try, call, requests[index], context)
                except PerceiverError as error:
                    if len(requests) > 1 and error.code in ABOUT_THE_INPUT:
                        error.message = f"inputs[{index}]: {error.message}"
                    raise

        tasks = [asyncio.create_task(one(index)) for index in range(len(requests))]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _try(self, call: Call, request: dict[str, Any], context: Context) -> Any:
        headers = {
            "Accept": call.accept,
            "X-Request-Id": context.request_id,
            "X-Timeout-Ms": str(max(1, int(context.remaining() * 1000))),
        }
        try:
            reply = await self._http.request(url=call.path, headers=headers, **request)
        except httpx.RequestError as error:
            raise unreachable(self._url, str(error) or type(error).__name__, context) from error
        if reply.status_code != httpx.codes.OK:
            raise from_http(self._url, reply.status_code, reply.headers, reply.content, context)
        try:
            return await in_thread(call, call.parse, reply.content)
        except NOT_AS_ASKED:
            raise bad_answer(self._url, f"what is no {call.accept}", context) from None


class BlockingRest:
    """AsyncRest for callers that block, from any thread.

    A thread of its own runs the event loop: blocking sockets have a time limit per read, so a
    server that sends a byte now and then could hold them for ever.
    """

    def __init__(self, url: SplitResult, retries: int) -> None:
        self._rest = AsyncRest(url, retries)
        self._open = True
        self._opening = threading.Lock()  # what is begun before the end is seen by the end
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="perceiver-client", daemon=True)
        self._thread.start()

    def answer(self, call: Call, context: Context) -> list[Any]:
        with self._opening:
            if not self._open:
                raise closed(context)
            future = self._begin(self._rest.answer(call, context))
        try:
            return future.result()
        except CancelledError:
            raise closed(context) from None
        except BaseException:
            future.cancel()  # an interrupted caller: the server shall not work for nobody
            raise

    def stream(self, stream: Stream, items: Any, context: Context) -> NoReturn:
        self._rest.stream(stream, items, context)

    def close(self) -> None:
        with self._opening:
            self._open = False
            ended = self._begin(self._end())
        ended.result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._rest.close()

    def _run(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def _begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        if not self._thread.is_alive():
            work.close()
            raise RuntimeError("a Client made before a fork cannot be used after it: make another")
        return asyncio.run_coroutine_threadsafe(work, self._loop)
