"""What carries a call, by the scheme of the server's URL."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any, Protocol
from urllib.parse import SplitResult

from perceiver_client.call import Call
from perceiver_client.context import Context
from perceiver_client.rest import AsyncRest, BlockingRest
from perceiver_client.streams import Stream


class Transport(Protocol):
    def answer(self, call: Call, context: Context) -> list[Any]: ...
    def stream(
        self, stream: Stream, items: Any, context: Context
    ) -> Generator[Any, None, None]: ...
    def close(self) -> None: ...


class AsyncTransport(Protocol):
    async def answer(self, call: Call, context: Context) -> list[Any]: ...
    def stream(self, stream: Stream, items: Any, context: Context) -> AsyncGenerator[Any, None]: ...
    async def close(self) -> None: ...


def blocking_transport(url: SplitResult, retries: int) -> Transport:
    if url.scheme in ("http", "https"):
        return BlockingRest(url, retries)
    from perceiver_client.rpc import BlockingRpc  # not before GRPC_VERBOSITY is set in cli.py

    return BlockingRpc(url, retries)


def async_transport(url: SplitResult, retries: int) -> AsyncTransport:
    if url.scheme in ("http", "https"):
        return AsyncRest(url, retries)
    from perceiver_client.rpc import AsyncRpc  # as above

    return AsyncRpc(url, retries)
