"""gRPC, blocking and async: the same but for `await`."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult

import grpc
from tenacity import AsyncRetrying, Retrying

from perceiver_client.calls import Call
from perceiver_client.context import Context
from perceiver_client.errors import closed, from_rpc
from perceiver_client.retry import policy

SERVICE = "/perceiver.v1.Perceiver/"
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
OPTIONS = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.enable_retries", 0),  # ours know the deadline and what the server asks for
    ("grpc.enable_http_proxy", 0),  # as over REST
    # A channel that found nobody fails every call until it looks again: let that be soon.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


class BlockingRpc:
    """A blocking channel; grpc holds the deadline here too, whatever the server does."""

    def __init__(self, url: SplitResult, retries: int) -> None:
        self._url, self._retries = url.geturl(), retries
        self._channel = _channel(grpc, url)

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

        return call.from_reply(Retrying(**policy(self._retries, context))(attempt))

    def close(self) -> None:
        self._channel.close()


class AsyncRpc:
    """An async channel, made where its event loop runs: at the first call."""

    def __init__(self, url: SplitResult, retries: int) -> None:
        self._split, self._url, self._retries = url, url.geturl(), retries
        self._channel: Any = None

    async def answer(self, call: Call, context: Context) -> list[Any]:
        if self._channel is None:
            self._channel = _channel(grpc.aio, self._split)
        method, message = _method(self._channel, call), call.message()
        metadata = (("x-request-id", context.request_id),)

        async def attempt() -> Any:
            try:
                return await method(message, timeout=context.remaining(), metadata=metadata)
            except grpc.RpcError as error:
                raise from_rpc(self._url, error, context) from error

        return call.from_reply(await AsyncRetrying(**policy(self._retries, context))(attempt))

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()


def _channel(api: Any, url: SplitResult) -> Any:
    """A channel of grpc or of grpc.aio."""
    if url.scheme == "grpcs":
        return api.secure_channel(url.netloc, _credentials(), options=OPTIONS)
    return api.insecure_channel(url.netloc, options=OPTIONS)


def _credentials() -> grpc.ChannelCredentials:
    """The certificates that https trusts (SSL_CERT_FILE names others), else grpc's own."""
    file = ssl.get_default_verify_paths().cafile
    return grpc.ssl_channel_credentials(Path(file).read_bytes() if file else None)


def _method(channel: Any, call: Call) -> Any:
    return channel.unary_unary(
        SERVICE + call.rpc,
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=call.reply.FromString,
    )
