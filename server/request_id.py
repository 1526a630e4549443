"""The id of a request: the client's own where it is sane, else a new one."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

_ID_BYTES = 16
_AT_ONCE = 256


def request_id_of(given: str | None) -> str:
    """The client's id where it is 1 to 128 printable ASCII characters: it goes into the log."""
    if given and len(given) <= 128 and given.isascii() and given.isprintable():
        return given
    return next(_NEW)


def _random() -> Iterator[str]:
    """Ids that tell nothing about each other; drawn together, they cost half."""
    length = 2 * _ID_BYTES
    while True:
        block = secrets.token_hex(_AT_ONCE * _ID_BYTES)
        yield from (block[at : at + length] for at in range(0, len(block), length))


_NEW = _random()
