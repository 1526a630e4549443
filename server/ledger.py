"""The life of a request, and the counters that follow it.

    received ──► queued ──► in flight ──► completed │ failed │ rejected │ cancelled │ expired
                    └────────────────────►

A ticket makes exactly one terminal transition (`end`), which moves one counter and gives back the
rows that it was admitted with.  Everything happens on the event loop without an await in between,
so at every moment, for every (model, protocol):

    received = completed + failed + rejected + cancelled + expired + queued + in_flight
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass

from server.errors import Fault, Outcome

Key = tuple[str, str]  # (model, protocol)


class Ledger:
    """Admits requests into a bounded queue and counts what becomes of them."""

    def __init__(self, max_queue: int, max_batch: int) -> None:
        self.max_queue = max_queue
        # Answers may pile up behind the device as well as before it: one batch on the device and
        # one being turned into replies.
        self._max_held = max_queue + 2 * max_batch
        self._share = max_queue // 2  # of those who wait for room, streams: the rest is for others
        self.received: Counter[Key] = Counter()
        self.queued: Counter[Key] = Counter()
        self.in_flight: Counter[Key] = Counter()
        self.ended: Counter[tuple[str, str, Outcome]] = Counter()
        self.refused: Counter[tuple[str, str]] = Counter()  # (protocol, code): never received
        self.draining = False
        self.waiting_rows = 0  # admitted, not yet on the device
        self.held_rows = 0  # admitted, not yet ended
        self._patient_rows = 0  # of them, of those who waited for room
        self._line: deque[_Place] = deque()  # who waits for room, first come first served
        self._live = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def receive(self, model: str, protocol: str, deadline: float) -> Ticket:
        """Counts a request; `deadline` is in seconds of the event loop's clock."""
        ticket = Ticket(self, (model, protocol), deadline)
        self.received[ticket.key] += 1
        self.queued[ticket.key] += 1
        self._live += 1
        self._idle.clear()
        return ticket

    def refuse(self, protocol: str, code: str) -> None:
        """Counts what was turned away before it became a request."""
        self.refused[protocol, code] += 1

    async def wait_idle(self) -> None:
        """Returns when every request has ended."""
        await self._idle.wait()

    def _ended(self, ticket: Ticket, outcome: Outcome) -> None:
        gauge = self.queued if ticket.state == "queued" else self.in_flight
        gauge[ticket.key] -= 1
        self.ended[*ticket.key, outcome] += 1
        self._live -= 1
        if self._live == 0:
            self._idle.set()

    def _room_for(self, rows: int) -> bool:
        return (
            self.waiting_rows + rows <= self.max_queue and self.held_rows + rows <= self._max_held
        )

    def _room_in_turn(self, rows: int) -> bool:
        """For who waits: within their share, of which one request alone may take more."""
        shared = self._patient_rows == 0 or self._patient_rows + rows <= self._share
        return shared and self._room_for(rows)

    def _room_at_once(self, rows: int) -> bool:
        """For who does not wait: while others do, beside their share and what their first needs, so
        that neither keeps the other out."""
        if self._line:
            reserved = max(self._share, self._line[0].rows)
            held = self.held_rows - self._patient_rows
            if held + rows > self.max_queue - reserved:
                return False
        return self._room_for(rows)

    def _advance(self) -> None:
        """Admits who waits, as far as there is room."""
        while self._line:
            place = self._line[0]
            if not place.turn.done():  # done: it has been given up
                if not self._room_in_turn(place.rows):
                    return
                place.ticket._take(place.rows)
                place.ticket._patient += place.rows
                self._patient_rows += place.rows
                place.turn.set_result(None)
            self._line.popleft()


class Ticket:
    """One request's place in the ledger.  Its owner is the coroutine that answers the caller."""

    def __init__(self, ledger: Ledger, key: Key, deadline: float) -> None:
        self.key = key
        self.deadline = deadline
        self.state: str = "queued"  # then "in_flight", then an Outcome
        self._ledger = ledger
        self._waiting = 0
        self._held = 0
        self._patient = 0  # of the held ones, those that waited for room

    def admit(self, rows: int) -> None:
        """Admits `rows` more rows; Fault draining, too_large or queue_full where it cannot.

        What was admitted before a drain may still grow: it has been accepted.
        """
        ledger = self._ledger
        if ledger.draining and self._held == 0:
            raise Fault("draining", "the server is shutting down: ask another one, or later")
        self._check_size(rows)
        if rows and not ledger._room_at_once(rows):
            raise Fault(
                "queue_full",
                f"{ledger.held_rows} rows are waiting or being answered already: try again later",
            )
        self._take(rows)

    def grow(self, rows: int) -> None:
        """Admits as many as are missing to `rows` in all; the Faults of `admit`."""
        if rows > self._held:
            self.admit(rows - self._held)

    async def admit_in_turn(self, rows: int) -> None:
        """Admits all the `rows` of a request at once, as soon as there is room; Fault too_large.

        It stands in line behind those who wait already.  Together they hold half of the queue at
        most, or one request that is larger; the other half is for those who do not wait.  A drain
        does not matter: the request has been accepted.
        """
        self._check_size(rows)
        ledger = self._ledger
        place = _Place(self, rows, asyncio.get_running_loop().create_future())
        ledger._line.append(place)
        ledger._advance()
        try:
            await place.turn
        finally:
            if place in ledger._line:
                ledger._line.remove(place)
                ledger._advance()  # who is next may need less

    def _check_size(self, rows: int) -> None:
        most = self._ledger.max_queue
        if self._held + rows > most:
            raise Fault(
                "too_large",
                f"the request makes {self._held + rows} rows, the limit is {most}: split it",
            )

    def _take(self, rows: int) -> None:
        self._waiting += rows
        self._held += rows
        self._ledger.waiting_rows += rows
        self._ledger.held_rows += rows

    def start(self, rows: int) -> None:
        """`rows` of the waiting rows go onto the device."""
        if self.state not in ("queued", "in_flight"):
            return
        if self.state == "queued":
            self._ledger.queued[self.key] -= 1
            self._ledger.in_flight[self.key] += 1
            self.state = "in_flight"
        self._waiting -= rows
        self._ledger.waiting_rows -= rows
        self._ledger._advance()

    def end(self, outcome: Outcome) -> bool:
        """The terminal transition.  Only the first call does anything, and returns True."""
        if self.state not in ("queued", "in_flight"):
            return False
        self._ledger._ended(self, outcome)
        self.state = outcome
        self._ledger.waiting_rows -= self._waiting
        self._ledger.held_rows -= self._held
        self._ledger._patient_rows -= self._patient
        self._ledger._advance()
        return True


@dataclass(eq=False)
class _Place:
    """Who waits for room."""

    ticket: Ticket
    rows: int
    turn: asyncio.Future[None]
