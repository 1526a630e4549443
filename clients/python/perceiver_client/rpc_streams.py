"""Streams over gRPC, blocking and async.  Leaving one gives it up on the server, too."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any

import grpc

from perceiver_client.call import NOT_AS_ASKED
from perceiver_client.channels import SERVICE
from perceiver_client.context import Context
from perceiver_client.errors import bad_answer, closed, from_rpc, late
from perceiver_client.streams import Patience, Stream, nothing

_END = object()

Failures = list[BaseException]  # of the caller's own iterable: one at most


def blocking_stream(
    channel: Any, url: str, stream: Stream, items: Iterable[Any], context: Context
) -> Generator[Any, None, None]:
    """The answers.  gRPC takes the items in a thread of its own, one when the last has gone."""
    patience = Patience(context.timeout, stream.unanswered)
    failures: Failures = []
    requests = _requests(stream, items, patience, failures)
    try:
        call = _method(channel, stream)(requests, metadata=_metadata(context))
    except ValueError as error:  # so grpc says that the channel is closed
        raise closed(context) from error
    watch = _Watch(call, patience)
    try:
        while (reply := _next(call, patience)) is not _END:
            yield _answer(stream, reply, url, context)
        _check_end(patience, failures, url, context)
    except grpc.RpcError as error:
        if failures:
            raise failures[0] from None
        raise (late(context) if watch.ended_it else _fault(url, error, context)) from error
    finally:
        watch.end()
        call.cancel()


def _requests(
    stream: Stream, items: Iterable[Any], patience: Patience, failures: Failures
) -> Generator[Any, None, None]:
    try:
        for index, item in enumerate(items):
            message = stream.message(item, index)
            patience.sends()
            yield message
            patience.sent()
    except GeneratorExit:
        raise
    except BaseException as error:  # noqa: BLE001  # the caller gets it after the last answer
        failures.append(error)
    patience.ends()


def _next(call: Any, patience: Patience) -> Any:
    patience.waits(True)
    try:
        reply = next(call, _END)
        patience.answered()
        return reply
    finally:
        patience.waits(False)


class _Watch:
    """Ends a blocking call whose answer is late: reading it knows no time limit."""

    def __init__(self, call: Any, patience: Patience) -> None:
        self.ended_it = False
        self._call, self._patience = call, patience
        self._news = threading.Condition()
        self._over = False
        patience.changed = self._tell
        threading.Thread(target=self._run, name="perceiver-stream", daemon=True).start()

    def end(self) -> None:
        self._over = True
        self._tell()

    def _tell(self) -> None:
        with self._news:
            self._news.notify()

    def _run(self) -> None:
        with self._news:
            while not self._over:
                until = self._patience.until()
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    self.ended_it = True
                    break
                self._news.wait(left)
        if self.ended_it:
            self._call.cancel()


async def async_stream(
    channel: Callable[[], Any],
    url: str,
    stream: Stream,
    items: Iterable[Any] | AsyncIterable[Any],
    context: Context,
) -> AsyncGenerator[Any, None]:
    """The answers.  Items that are no async iterable are taken in a thread."""
    patience = Patience(context.timeout, stream.unanswered, asyncio.get_running_loop().time)
    failures: Failures = []
    try:
        call = _method(channel(), stream)(metadata=_metadata(context))
    except grpc.aio.UsageError as error:  # so grpc says that the channel is closed
        raise closed(context) from error
    sending = asyncio.create_task(_send(call, stream, items, patience, failures))
    try:
        while (reply := await _read(call, patience)) is not grpc.aio.EOF:
            yield _answer(stream, reply, url, context)
        _check_end(patience, failures, url, context)
    except (grpc.RpcError, TimeoutError) as error:
        if failures:
            raise failures[0] from None
        late_ = isinstance(error, TimeoutError)
        raise (late(context) if late_ else _fault(url, error, context)) from error
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if call.cancelled() and task is not None and not task.cancelling():
            raise closed(context) from None
        raise
    finally:
        call.cancel()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _send(
    call: Any, stream: Stream, items: Any, patience: Patience, failures: Failures
) -> None:
    # Where the call has ended its reader knows why.
    with suppress(grpc.RpcError, asyncio.InvalidStateError):
        async with aclosing(_messages(stream, items, failures)) as messages:
            async for message in messages:
                patience.sends()
                await call.write(message)
                patience.sent()
        patience.ends()
        await call.done_writing()


async def _messages(stream: Stream, items: Any, failures: Failures) -> AsyncGenerator[Any, None]:
    index = 0
    try:
        async with aclosing(_each(items)) as each:
            async for item in each:
                yield await asyncio.to_thread(stream.message, item, index)
                index += 1
    except Exception as error:  # noqa: BLE001  # the caller gets it after the last answer
        failures.append(error)


async def _each(items: Any) -> AsyncGenerator[Any, None]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
        return
    iterator = iter(items)
    while (item := await asyncio.to_thread(next, iterator, _END)) is not _END:
        yield item


async def _read(call: Any, patience: Patience) -> Any:
    async with asyncio.timeout(None) as limit:
        patience.changed = lambda: limit.reschedule(patience.until())
        patience.waits(True)
        try:
            reply = await call.read()
        finally:
            patience.changed = nothing
    patience.answered()
    patience.waits(False)
    return reply


def _method(channel: Any, stream: Stream) -> Any:
    return channel.stream_stream(
        SERVICE + stream.rpc,
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=stream.reply.FromString,
    )


def _metadata(context: Context) -> tuple[tuple[str, str], ...]:
    return (("x-request-id", context.request_id),)


def _answer(stream: Stream, reply: Any, url: str, context: Context) -> Any:
    try:
        answer = stream.answer(reply)
    except NOT_AS_ASKED:
        raise bad_answer(url, "something else", context) from None
    if answer.error is not None:
        answer.error.request_id = context.request_id
    return answer


def _check_end(patience: Patience, failures: Failures, url: str, context: Context) -> None:
    if failures:
        raise failures[0]
    if not patience.complete():
        raise bad_answer(url, "too little, and ended the stream", context)


def _fault(url: str, error: Any, context: Context) -> Exception:
    """As of any call; but a deadline that passed is none of ours."""
    return from_rpc(url, error, replace(context, timeout=math.inf))
