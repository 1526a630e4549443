"""The id of a request: the client's own where it is sane, else a new one."""

from __future__ import annotations

import itertools
import secrets

_LIFE = secrets.token_hex(8)
_NUMBERS = itertools.count(1)


def request_id_of(given: str | None) -> str:
    """The client's id where it is 1 to 128 printable ASCII characters: it goes into the log."""
    if given and len(given) <= 128 and given.isascii() and given.isprintable():
        return given
    return f"{_LIFE}{next(_NUMBERS):016x}"
