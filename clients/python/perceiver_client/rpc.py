"""gRPC, blocking and async: the same but for `await`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any
from urllib.parse import SplitResult

import grpc
from tenacity import AsyncRetrying, Retrying

from perceiver_client.call import NOT_AS_ASKED, Call, in_thread
from perceiver_client.channels import SERVICE, channel_of
from perceiver_client.context import Context
from perceiver_client.errors import bad_answer, closed, from_rpc
from perceiver_client.retry import policy
from perceiver_client.rpc_streams import async_stream, blocking_stream
from perceiver_client.streams import Stream


class BlockingRpc:
    """A blocking channel; grpc holds the deadline here too, whatever the server does."""

    def __init__(self, url: SplitResult, retries: int) -> None:
        self._url, self._retries = url.geturl(), retries
        self._channel = channel_of(grpc, url)

    def answer(self, call: Call, context: Context) -> list[Any]:
        method, message = _method(self._channel, call), call.message()
        metadata = (("x-request-id", context.request_id),)

        def attempt() -> Any:
            try:
                return method(message, timeout=context.remaining(), metadata=metadata)
            except grpc.RpcError as error:
                raise from_rpc(self._url, error, context) from error
            except ValueError as error:  # so grpc says that the channel is closed
                raise closed(context) from error

        reply = Retrying(**policy(self._retries, context))(attempt)
        try:
            return call.from_reply(reply)
        except NOT_AS_ASKED:
            raise bad_answer(self._url, "something else", context) from None

    def stream(self, stream: Stream, items: Any, context: Context) -> Generator[Any, None, None]:
        return blocking_stream(self._channel, self._url, stream, items, context)

    def close(self) -> None:
        self._channel.close()


class AsyncRpc:
    """An async channel, made where its event loop runs: at the first call."""

    def __init__(self, url: SplitResult, retries: int) -> None:
        self._split, self._url, self._retries = url, url.geturl(), retries
        self._channel: Any = None
        self._streams: Any = None  # a blocking channel (rpc_streams.py)

    async def answer(self, call: Call, context: Context) -> list[Any]:
        if self._channel is None:
            self._channel = channel_of(grpc.aio, self._split)
        method = _method(self._channel, call)
        message = await in_thread(call, call.message)
        metadata = (("x-request-id", context.request_id),)

        async def attempt() -> Any:
            try:
                return await method(message, timeout=context.remaining(), metadata=metadata)
            except grpc.RpcError as error:
                raise from_rpc(self._url, error, context) from error

        reply: Any = await AsyncRetrying(**policy(self._retries, context))(attempt)
        try:
            return await in_thread(call, call.from_reply, reply)
        except NOT_AS_ASKED:
            raise bad_answer(self._url, "something else", context) from None

    def stream(self, stream: Stream, items: Any, context: Context) -> AsyncGenerator[Any, None]:
        if self._streams is None:
            self._streams = channel_of(grpc, self._split)
        return async_stream(self._streams, self._url, stream, items, context)

    async def close(self) -> None:
        if self._streams is not None:
            self._streams.close()
        if self._channel is not None:
            await self._channel.close()


def _method(channel: Any, call: Call) -> Any:
    return channel.unary_unary(
        SERVICE + call.rpc,
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=call.reply.FromString,
    )
