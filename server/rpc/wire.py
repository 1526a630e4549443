"""Protobuf bytes -> a message, or one sentence; what would take long to parse is not parsed.

Two bytes of a message can be an element of a list: 64 MiB of them hold the interpreter for seconds
and take gigabytes.  So the fields are counted first, and no further than to the limit.
"""

from __future__ import annotations

from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from server.errors import Fault

M = TypeVar("M", bound=Message)

SMALL_BYTES = 64 * 1024  # of a message that carries names, no data
SMALL_FIELDS = 100
_LONGEST_VARINT = 10


def parse(message: bytes, kind: type[M], *, max_bytes: int, max_fields: int) -> M:
    """The message; Fault too_large or malformed."""
    if len(message) > max_bytes:
        raise Fault(
            "too_large",
            f"the message has {len(message)} bytes, the limit is {max_bytes}: send a smaller one",
        )
    if has_more_fields(message, kind.DESCRIPTOR, max_fields):
        raise Fault(
            "too_large", f"the message has over {max_fields} fields, the limit: send several"
        )
    try:
        return kind.FromString(message)
    except DecodeError:
        name = kind.DESCRIPTOR.full_name
        raise Fault(
            "malformed", f"the message cannot be parsed: it must be a {name}, its strings UTF-8"
        ) from None


def parse_small(message: bytes, kind: type[M]) -> M:
    """The same for services whose messages are names."""
    return parse(message, kind, max_bytes=SMALL_BYTES, max_fields=SMALL_FIELDS)


def has_more_fields(message: bytes, kind: Any, limit: int) -> bool:
    """True where a message of a `kind` (its descriptor) has over `limit` fields, those of its
    messages and the elements of its packed lists counted too.

    What is broken ends the count: the parser will say so.
    """
    count = 0
    parts = [(0, len(message), kind)]
    while parts:
        at, end, kind = parts.pop()
        while at < end:
            count += 1
            if count > limit:
                return True
            tag, at = _varint(message, at)
            match tag & 7:
                case 0:  # a number
                    _, at = _varint(message, at)
                case 1:  # eight bytes
                    at += 8
                case 2:  # so many bytes
                    size, at = _varint(message, at)
                    field = kind.fields_by_number.get(tag >> 3)
                    if field is not None and field.message_type is not None:
                        parts.append((at, min(at + size, end), field.message_type))
                    elif field is not None and field.is_packed:
                        count += size  # no element is shorter than a byte
                    at += size
                case 5:  # four bytes
                    at += 4
    return count > limit


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The number at a place, and the place behind it."""
    value = 0
    for n, byte in enumerate(message[at : at + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * n
        if byte < 0x80:
            return value, at + n + 1
    return 0, len(message)
