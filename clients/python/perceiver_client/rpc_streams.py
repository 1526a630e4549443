"""Streams over gRPC, blocking and async.  Leaving one gives it up on the server, too.

Both are gRPC's blocking one: its async one may take the failure to send to a server that has ended
the stream for the reason why it has ended, and so forget what the server said.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Self

import grpc

from perceiver_client.call import NOT_AS_ASKED
from perceiver_client.channels import SERVICE
from perceiver_client.context import Context
from perceiver_client.errors import bad_answer, closed, from_rpc, late
from perceiver_client.iterate import AsBlocking, each
from perceiver_client.streams import Patience, Stream

_END = object()


def blocking_stream(
    channel: Any, url: str, stream: Stream, items: Iterable[Any], context: Context
) -> Generator[Any, None, None]:
    answers = _Answers(channel, url, stream, items, context)
    try:
        yield from answers
    finally:
        answers.end()


async def async_stream(
    channel: Any,
    url: str,
    stream: Stream,
    items: Iterable[Any] | AsyncIterable[Any],
    context: Context,
) -> AsyncGenerator[Any, None]:
    source = AsBlocking(items) if isinstance(items, AsyncIterable) else items
    blocking = _Answers(channel, url, stream, source, context)
    try:
        async with aclosing(each(blocking)) as answers:
            async for answer in answers:
                yield answer
    finally:
        blocking.end()
        if isinstance(source, AsBlocking):
            source.end()


class _Answers:
    """An iterator of the answers; what the items raise comes after the last of them.

    gRPC takes the items in a thread of its own, one when the last has gone.  `end` may be called
    at any time, in any thread.
    """

    def __init__(
        self, channel: Any, url: str, stream: Stream, items: Iterable[Any], context: Context
    ) -> None:
        self._url, self._stream, self._context = url, stream, context
        self._patience = Patience(context.timeout, stream.unanswered)
        self._failure: BaseException | None = None  # of the items
        method = channel.stream_stream(
            SERVICE + stream.rpc,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=stream.reply.FromString,
        )
        metadata = (("x-request-id", context.request_id),)
        try:
            self._call = method(self._messages(items), metadata=metadata)
        except ValueError as error:  # so grpc says that the channel is closed
            raise closed(context) from error
        self._watch = _Watch(self._call, self._patience)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        self._patience.waits(True)
        try:
            reply = next(self._call, _END)
        except grpc.RpcError as error:
            raise self._reason(error) from error
        finally:
            self._patience.waits(False)
        self._patience.answered()
        if reply is _END:
            self._check_end()
            raise StopIteration
        return self._answer(reply)

    def end(self) -> None:
        self._watch.end()
        self._call.cancel()

    def _messages(self, items: Iterable[Any]) -> Generator[Any, None, None]:
        try:
            for index, item in enumerate(items):
                message = self._stream.message(item, index)
                self._patience.sends()
                yield message
                self._patience.sent()
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001  # it is the caller's
            self._failure = error
        self._patience.ends()

    def _answer(self, reply: Any) -> Any:
        try:
            answer = self._stream.answer(reply)
        except NOT_AS_ASKED:
            raise bad_answer(self._url, "something else", self._context) from None
        if answer.error is not None:
            answer.error.request_id = self._context.request_id
        return answer

    def _check_end(self) -> None:
        if self._failure is not None:
            raise self._failure
        if not self._patience.complete():
            what = "too little, and ended the stream"
            raise bad_answer(self._url, what, self._context)

    def _reason(self, error: grpc.RpcError) -> BaseException:
        """Why it ended; a deadline that the server tells of is none of ours."""
        if self._failure is not None:
            return self._failure
        if self._watch.ended_it:
            return late(self._context)
        return from_rpc(self._url, error, replace(self._context, timeout=math.inf))


class _Watch:
    """Ends a call whose answer is late: to read it knows no time limit."""

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
