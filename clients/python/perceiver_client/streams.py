"""What a stream is to the transports, and how long the next of its answers may take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

from google.protobuf.message import Message

from perceiver_client.errors import PerceiverError


class Stream(Protocol):
    """One stream: `unanswered` is how many of the first things sent have no answer."""

    rpc: ClassVar[str]
    reply: ClassVar[type[Message]]
    unanswered: ClassVar[int]

    def message(self, item: Any, index: int) -> Message: ...
    def answer(self, reply: Any) -> Any: ...


def only_over_grpc(url: str) -> PerceiverError:
    message = f"{url} is REST, and streams go over gRPC: ask a Client of grpc://HOST:PORT"
    return PerceiverError("invalid_input", message)


class Patience:
    """Its clock runs while the caller waits for an answer and the server owes something: to take
    what is sent, to answer it, or to end.  It begins anew with each of them.

    A caller who is slow to send or to read is not held against the server.
    """

    def __init__(
        self, timeout: float, unanswered: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.changed: Callable[[], None] = _nothing
        self._timeout, self._unanswered, self._clock = timeout, unanswered, clock
        self._due = 0  # counted where things are sent
        self._had = 0  # counted where answers are read, maybe in another thread
        self._all_sent = False
        self._waiting = False
        self._since = clock()

    def until(self) -> float | None:
        """When it ends, by the clock; None while it does not run."""
        running = self._waiting and self._due > self._had
        return self._since + self._timeout if running else None

    def complete(self) -> bool:
        """Whether all has been sent and answered, and the end has been seen."""
        return self._all_sent and self._due == self._had

    def waits(self, waiting: bool) -> None:
        """The caller begins to wait for an answer, or has one."""
        self._waiting = waiting
        self._begin()

    def sends(self) -> None:
        """Something is being sent."""
        self._due += 1
        if self._due == self._had + 1:
            self._begin()

    def sent(self) -> None:
        """It has been taken."""
        if self._unanswered:
            self._unanswered -= 1
            self._due -= 1

    def ends(self) -> None:
        """Nothing more will be sent."""
        self._all_sent = True
        self.sends()

    def answered(self) -> None:
        self._had += 1
        self._begin()

    def _begin(self) -> None:
        self._since = self._clock()
        self.changed()


def _nothing() -> None: ...
