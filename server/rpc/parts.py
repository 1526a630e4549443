"""Answers as parts of bytes, which are joined once.

protobuf copies what a message holds again and again, and nothing else runs meanwhile, in whatever
thread: a field of 48 MiB would stop the event loop for a third of a second.  So protobuf writes
what is small, and large bytes go between; to join a megabyte or more lets others run.
"""

from __future__ import annotations

import asyncio

from google.protobuf.message import Message

from server.errors import Fault

Parts = list[bytes]

PIECE = 1024 * 1024  # bytes; from so many on bytes.join lets others run


def pieces(data: bytes | memoryview) -> Parts:
    """A copy that others can run in between."""
    return [bytes(data[at : at + PIECE]) for at in range(0, len(data), PIECE)]


def as_field(kind: type[Message], name: str, content: Parts) -> Parts:
    """Bytes, or a message, as the field `name` of a `kind`.  Fields behind each other are one."""
    number = kind.DESCRIPTOR.fields_by_name[name].number
    length_delimited = 2
    return [_varint(number << 3 | length_delimited) + _varint(_size(content)), *content]


def fitting(parts: Parts, max_bytes: int) -> Parts:
    """The answer, which gRPC can send; Fault too_large where it cannot."""
    size = _size(parts)
    if size > max_bytes:
        raise Fault(
            "too_large",
            f"the answer has {size} bytes, the limit is {max_bytes}: ask for less at once",
        )
    return parts


async def joined(parts: Parts) -> bytes:
    """All of it."""
    if _size(parts) < PIECE:
        return b"".join(parts)
    return await asyncio.to_thread(b"".join, parts)


def _size(parts: Parts) -> int:
    return sum(map(len, parts))


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
