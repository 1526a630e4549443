"""Which of the types that an answer can be sent as the client likes best (RFC 9110, 12.5.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from server.errors import Fault

_QUALITY = re.compile(r"q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)")


def best_type(accept: str, offered: Sequence[str]) -> str:
    """The offered type of the highest quality, the first of several; the first without an Accept.

    A type's quality is that of the range that names it most closely, so `image/png;q=0, */*` takes
    anything else.  Fault not_acceptable where all are ruled out.
    """
    ranges = [_range(one) for one in accept.lower().split(",") if one.strip()]
    if not ranges:
        return offered[0]
    qualities = [_quality(kind, ranges) for kind in offered]
    if not any(qualities):
        raise Fault(
            "not_acceptable",
            f"Accept is {accept[:40]!r}, but the answer is {' or '.join(offered)}: accept "
            f"{'one of them' if len(offered) > 1 else 'that'}, or */*",
        )
    return offered[qualities.index(max(qualities))]


def _range(text: str) -> tuple[str, float]:
    """`image/*; q=0.5` -> ("image/*", 0.5); a quality that is none counts as 1."""
    kind, *parameters = (part.strip() for part in text.split(";"))
    found = (_QUALITY.fullmatch(parameter) for parameter in parameters)
    return kind, next((float(match[1]) for match in found if match), 1.0)


def _quality(kind: str, ranges: Sequence[tuple[str, float]]) -> float:
    """Of a type: what the closest range says, 0 where none names it."""
    for wanted in (kind, kind.partition("/")[0] + "/*", "*/*"):
        said = [quality for name, quality in ranges if name == wanted]
        if said:
            return max(said)
    return 0.0
