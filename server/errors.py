"""Errors as callers may see them, and the ONE table of their numbers.

    Exception
    ├── Fault                          code + sentence (+ seconds to wait): what every door sends
    └── perceiver_core.errors
        └── InvalidInput               a caller's input broke a rule; becomes a Fault here

Meaning is raised where it is understood (`Fault("queue_full", "…")`); HTTP statuses, gRPC codes
and the outcome that is counted stand in KINDS and nowhere else.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Literal

from perceiver_core.errors import InvalidInput

log = logging.getLogger(__name__)

Outcome = Literal["completed", "failed", "rejected", "cancelled", "expired"]


@dataclass(frozen=True)
class Kind:
    """What a code means to each protocol, to the counters, and to a caller who may try again."""

    http: int
    grpc: str
    outcome: Outcome
    retry_after: float | None = None  # seconds; None: trying the same again is no use


KINDS: dict[str, Kind] = {
    "malformed": Kind(400, "INVALID_ARGUMENT", "rejected"),
    "invalid_input": Kind(422, "INVALID_ARGUMENT", "rejected"),
    "pair_broken": Kind(422, "INVALID_ARGUMENT", "rejected"),
    "unknown_model": Kind(404, "NOT_FOUND", "rejected"),
    "unknown_task": Kind(404, "NOT_FOUND", "rejected"),
    "unknown_path": Kind(404, "NOT_FOUND", "rejected"),
    "model_not_pulled": Kind(404, "NOT_FOUND", "rejected"),
    "wrong_method": Kind(405, "UNIMPLEMENTED", "rejected"),
    "not_acceptable": Kind(406, "INVALID_ARGUMENT", "rejected"),
    "unsupported_media_type": Kind(415, "INVALID_ARGUMENT", "rejected"),
    "too_slow": Kind(408, "CANCELLED", "rejected"),
    "too_large": Kind(413, "RESOURCE_EXHAUSTED", "rejected"),
    "queue_full": Kind(429, "RESOURCE_EXHAUSTED", "rejected", retry_after=1.0),
    "draining": Kind(503, "UNAVAILABLE", "rejected", retry_after=1.0),
    "starting": Kind(503, "UNAVAILABLE", "rejected", retry_after=1.0),
    "load_failed": Kind(503, "UNAVAILABLE", "failed", retry_after=1.0),
    "worker_died": Kind(503, "UNAVAILABLE", "failed", retry_after=1.0),
    "out_of_memory": Kind(507, "RESOURCE_EXHAUSTED", "failed"),
    "non_finite_output": Kind(422, "INVALID_ARGUMENT", "failed"),
    "internal": Kind(500, "INTERNAL", "failed"),
    "deadline": Kind(504, "DEADLINE_EXCEEDED", "expired"),
    "cancelled": Kind(499, "CANCELLED", "cancelled"),
}

INTERNAL = "the server made a mistake; its log has the details"


class Fault(Exception):
    """An error with a code of KINDS and a sentence that a caller can act on.

    The sentence carries the value, the rule and the way out; never a path, stack or address.
    """

    def __init__(self, code: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.kind = KINDS[code]
        self.retry_after = self.kind.retry_after if retry_after is None else retry_after
        self.counted = False  # True once a request's terminal transition has counted it

    def copy(self) -> Fault:
        """The same fault for one more caller: one exception raised twice would mix its stacks."""
        return Fault(self.code, self.message, retry_after=self.retry_after)


def fault_of(error: BaseException, request_id: str = "-") -> Fault:
    """The Fault that callers see for any exception; what nobody foresaw is logged, never shown."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, InvalidInput):
        return Fault(getattr(error, "code", "invalid_input"), str(error))
    if isinstance(error, asyncio.CancelledError):
        return Fault("cancelled", "the caller went away before the answer")
    log.error("request %s failed: our bug", request_id, exc_info=error)
    return Fault("internal", INTERNAL)
