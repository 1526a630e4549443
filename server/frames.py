"""What travels between the server and its children, over an inherited socketpair.

    frame = u32 header length · u64 body length · header · body          (little-endian)
    header = msgpack of Envelope: one typed message, and (name, dtype, shape) of every array
    body = the arrays' raw bytes, back to back, C order

No pickle, nothing listens, and neither side trusts the other's lengths: both are limited before
anything is allocated, dtypes come from a list, and shapes must add up to the body.
"""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np

Row = dict[str, np.ndarray[Any, Any]]
Message = TypeVar("Message")

PREFIX = struct.Struct("<IQ")
MAX_HEADER = 4 * 1024 * 1024
MAX_BODY = 4 * 1024 * 1024 * 1024
MAX_DIMENSIONS = 8
SMALL = 64 * 1024  # bytes; what costs less to copy than a system call
DTYPES = {
    name: np.dtype(name)
    for name in (
        *("bool", "uint8", "uint16", "int8", "int16", "int32", "int64"),
        *("float16", "float32", "float64"),
    )
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}  # dtype.name takes a microsecond


class FrameError(ValueError):
    """A frame that breaks the rules above; after one, the channel is of no more use."""


class ArraySpec(msgspec.Struct, array_like=True, frozen=True):
    """One array of the body."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    def check(self) -> int:
        """The array's size in bytes; FrameError where the spec is not allowed."""
        dtype = DTYPES.get(self.dtype)
        if dtype is None:
            raise FrameError(f"dtype {self.dtype!r} is not allowed in a frame")
        if len(self.shape) > MAX_DIMENSIONS or any(size < 0 for size in self.shape):
            raise FrameError(f"shape {self.shape} is not allowed in a frame")
        return math.prod(self.shape) * dtype.itemsize


class Envelope(msgspec.Struct, Generic[Message], array_like=True, frozen=True):
    """The header: a message, and per row the arrays that follow."""

    message: Message
    rows: list[list[ArraySpec]]


def _plain(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same in C order and this machine's byte order; itself where it is so."""
    if array.flags.c_contiguous and array.dtype.isnative:
        return array
    return np.asarray(array, array.dtype.newbyteorder("="), order="C")


def _bytes_of(array: np.ndarray[Any, Any]) -> memoryview:
    """The array's memory as bytes, without a copy; C order is required."""
    return array.reshape(-1).view(np.uint8).data


class _Codec(Generic[Message]):
    """Frames to bytes and back, for the blocking and the asyncio channel alike."""

    def __init__(self, receives: Any, max_body: int) -> None:
        self._decoder = msgspec.msgpack.Decoder(Envelope[receives])
        self._encoder = msgspec.msgpack.Encoder()
        self._max_body = max_body

    def pack(self, message: object, rows: Sequence[Row]) -> list[bytes | memoryview]:
        """The buffers to send, in order; FrameError (and nothing sent) where a row cannot go."""
        arrays = [_plain(array) for row in rows for array in row.values()]
        specs = [
            [
                ArraySpec(name, NAMES.get(array.dtype) or array.dtype.name, array.shape)
                for name, array in row.items()
            ]
            for row in rows
        ]
        body = sum(spec.check() for row in specs for spec in row)
        header = self._encoder.encode(Envelope(message, specs))
        if len(header) > MAX_HEADER or body > self._max_body:
            raise FrameError(f"a frame of {len(header)} + {body} bytes is over the limit")
        head = PREFIX.pack(len(header), body) + header
        if body <= SMALL:
            return [b"".join((head, *(array.data for array in arrays)))]
        return [head, *map(_bytes_of, arrays)]

    def header_length(self, prefix: bytes) -> tuple[int, int]:
        """(header, body) lengths in bytes, both within the limits."""
        header, body = PREFIX.unpack(prefix)
        if header > MAX_HEADER or body > self._max_body:
            raise FrameError(f"a frame of {header} + {body} bytes is over the limit")
        return header, body

    def allocate(self, header: bytes, body: int) -> tuple[Message, list[Row]]:
        """The message, and its rows with memory that is yet to be filled."""
        try:
            envelope = self._decoder.decode(header)
        except msgspec.MsgspecError as error:
            raise FrameError(f"the header cannot be read: {error}") from None
        if sum(spec.check() for row in envelope.rows for spec in row) != body:
            raise FrameError("the arrays do not add up to the body")
        try:
            rows = [
                {spec.name: np.empty(spec.shape, DTYPES[spec.dtype]) for spec in row}
                for row in envelope.rows
            ]
        except ValueError:  # no array may be so long, not even beside a 0
            raise FrameError("a shape is not allowed in a frame") from None
        if any(len(row) != len(specs) for row, specs in zip(rows, envelope.rows, strict=True)):
            raise FrameError("a row names an array twice")
        return envelope.message, rows


class _Inbox:
    """What has arrived and was not asked for yet: a small frame comes whole, in one read."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(SMALL))
        self._start = self._end = 0

    def take(self, into: memoryview) -> int:
        """Fills the front of `into`; how many bytes."""
        count = min(len(into), self._end - self._start)
        into[:count] = self._buffer[self._start : self._start + count]
        self._start += count
        return count

    def target(self, wanted: memoryview) -> memoryview:
        """Where to read to, once all has been taken: long arrays straight to their place."""
        return wanted if len(wanted) > SMALL else self._buffer

    def arrived(self, count: int, target: memoryview) -> int:
        """Notes what was read; how many bytes are in their place already.  0 is an EOFError."""
        if count == 0:
            raise EOFError
        if target is not self._buffer:
            return count
        self._start, self._end = 0, count
        return 0


class Channel(_Codec[Message]):
    """The blocking end, for a child: one thing at a time."""

    def __init__(self, sock: socket.socket, receives: Any, max_body: int = MAX_BODY) -> None:
        super().__init__(receives, max_body)
        self._sock = sock
        self._inbox = _Inbox()

    def send(self, message: object, rows: Sequence[Row] = ()) -> None:
        """Sends one frame; OSError where the other side has gone."""
        for buffer in self.pack(message, rows):
            self._sock.sendall(buffer)

    def receive(self) -> tuple[Message, list[Row]]:
        """Waits for one frame; EOFError where the other side has gone."""
        header, body = self.header_length(self._read(bytearray(PREFIX.size)))
        message, rows = self.allocate(self._read(bytearray(header)), body)
        for row in rows:
            for array in row.values():
                self._read(_bytes_of(array))
        return message, rows

    def _read(self, into: Any) -> Any:
        view = memoryview(into)
        done = self._inbox.take(view)
        while done < len(view):
            target = self._inbox.target(view[done:])
            done += self._inbox.arrived(self._sock.recv_into(target), target)
            done += self._inbox.take(view[done:])
        return into


class AsyncChannel(_Codec[Message]):
    """The asyncio end, for the server.  One reader and one writer may be active at a time."""

    def __init__(self, sock: socket.socket, receives: Any, max_body: int = MAX_BODY) -> None:
        super().__init__(receives, max_body)
        sock.setblocking(False)
        self._sock = sock
        self._inbox = _Inbox()

    async def send(self, buffers: list[bytes | memoryview]) -> None:
        """Sends what `pack` made; OSError where the other side has gone."""
        loop = asyncio.get_running_loop()
        for buffer in buffers:
            await loop.sock_sendall(self._sock, buffer)

    async def receive(self) -> tuple[Message, list[Row]]:
        """Waits for one frame; EOFError where the other side has gone."""
        header, body = self.header_length(await self._read(bytearray(PREFIX.size)))
        message, rows = self.allocate(await self._read(bytearray(header)), body)
        for row in rows:
            for array in row.values():
                await self._read(_bytes_of(array))
        return message, rows

    async def _read(self, into: Any) -> Any:
        loop, view = asyncio.get_running_loop(), memoryview(into)
        done = self._inbox.take(view)
        while done < len(view):
            target = self._inbox.target(view[done:])
            done += self._inbox.arrived(await loop.sock_recv_into(self._sock, target), target)
            done += self._inbox.take(view[done:])
        return into

    def close(self) -> None:
        """Hangs up."""
        self._sock.close()
