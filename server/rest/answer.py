"""An answer as bytes: arrays are never copied whole, and a reader who does not read is bounded.

A large answer is made and sent piece by piece, at the pace of its reader (server/connection.py
gives him up after `body_timeout_s`); what all readers together have not read yet is limited.
"""

from __future__ import annotations

import asyncio
import binascii
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from server.arrays import little_endian
from server.errors import Fault

PIECE = 192 * 1024  # bytes; a multiple of 3
MAX_UNREAD = 256 * 1024 * 1024  # bytes of large answers
_GAP = b"\0"  # where an array goes; JSON writes no such byte


@dataclass(frozen=True)
class Base64:
    """Bytes that go out as base64."""

    data: memoryview

    def __len__(self) -> int:
        return (len(self.data) + 2) // 3 * 4


Parts = list[bytes | memoryview | Base64]


def json_parts(value: object) -> Parts:
    """`value` as JSON; an array in it is an object of shape, dtype and base64."""
    arrays: list[np.ndarray[Any, Any]] = []

    def gap(found: object) -> object:
        assert isinstance(found, np.ndarray)
        arrays.append(found)
        data = msgspec.Raw(b'"' + _GAP + b'"')
        return {"shape": found.shape, "dtype": found.dtype.name, "data": data}

    first, *others = msgspec.json.encode(value, enc_hook=gap).split(_GAP)
    parts: Parts = [first]
    for array, text in zip(arrays, others, strict=True):
        parts += [Base64(little_endian(array)), text]
    return parts


class Unread:
    """How many bytes of large answers wait for their readers."""

    def __init__(self) -> None:
        self.bytes = 0

    def check(self, size: int = PIECE + 1) -> None:
        """Fault queue_full where there is no room for an answer of this size.

        There always is for a small one, and for the first one.
        """
        if size > PIECE and self.bytes and self.bytes + size > MAX_UNREAD:
            raise Fault(
                "queue_full",
                f"{self.bytes} bytes of answers wait to be read by those who asked, the limit is "
                f"{MAX_UNREAD}: try again later",
            )

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """Counts an answer until the block ends."""
        self.bytes += size
        try:
            yield
        finally:
            self.bytes -= size


def size_of(parts: Parts) -> int:
    """Of the answer, in bytes."""
    return sum(map(len, parts))


def response(parts: Parts, media_type: str, headers: Mapping[str, str], unread: Unread) -> Response:
    """The response, at once where it is small."""
    if size_of(parts) > PIECE:
        return _Pieces(parts, media_type, headers, unread)
    whole = (_encoded(part.data) if isinstance(part, Base64) else part for part in parts)
    return Response(b"".join(whole), headers=headers, media_type=media_type)


class _Pieces(Response):
    """A response whose next piece is made when the reader has taken most of the last one."""

    def __init__(
        self, parts: Parts, media_type: str, headers: Mapping[str, str], unread: Unread
    ) -> None:
        size = size_of(parts)
        super().__init__(headers={**headers, "content-length": str(size)}, media_type=media_type)
        self._parts, self._size, self._unread = parts, size, unread

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._unread.holding(self._size):
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            async for piece in _pieces(self._parts):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body"})


async def _pieces(parts: Parts) -> AsyncIterator[bytes]:
    for part in parts:
        data = part.data if isinstance(part, Base64) else memoryview(part)
        for start in range(0, len(data), PIECE):
            piece = data[start : start + PIECE]
            if isinstance(part, Base64):
                yield await asyncio.to_thread(_encoded, piece)
            else:
                yield bytes(piece)


def _encoded(data: memoryview) -> bytes:
    return binascii.b2a_base64(data, newline=False)
