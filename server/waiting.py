"""Who waits for the device: requests in turn, model by model."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from server.errors import Fault
from server.frames import Row
from server.ledger import Ticket
from server.messages import RowError


@dataclass
class Computed:
    """A request's output rows, in order, and how they came about.  Times are perf_counter's."""

    rows: list[Row]
    batch_size: int = 0  # the largest batch that one of the rows rode in
    started: float = 0.0
    seconds: float = 0.0  # on the device


class RowFault(Fault):
    """A fault of one row of a request."""

    def __init__(self, row: int, error: RowError) -> None:
        super().__init__(error.code, error.message)
        self.row = row


@dataclass(eq=False)
class Entry:
    """One request's rows; those before `taken` are, or have been, on the device."""

    model: str
    ticket: Ticket
    rows: Sequence[Row]
    number: int  # whose turn it is, over all models
    answer: asyncio.Future[Computed]
    computed: Computed = field(init=False)
    taken: int = 0
    missing: int = field(init=False)

    def __post_init__(self) -> None:
        assert self.rows, "a request has at least one row: nothing else would ever answer it"
        self.computed = Computed([{}] * len(self.rows))
        self.missing = len(self.rows)

    def alive(self, now: float) -> bool:
        """Somebody still waits for this."""
        return not self.answer.done() and now < self.ticket.deadline

    def fail(self, fault: Fault) -> None:
        """Answers the caller, unless he has his answer or has gone."""
        if not self.answer.done():
            self.answer.set_exception(fault)

    def put(self, row: int, output: Row) -> None:
        """One more row is back; the last one answers the caller, unless he has gone."""
        self.computed.rows[row] = output
        self.missing -= 1
        if self.missing == 0 and not self.answer.done():
            self.answer.set_result(self.computed)


Batch = list[tuple[Entry, int]]  # (whose, which of his rows)


class Waiting:
    """The queues.  What nobody waits for is dropped here, before it costs device time."""

    def __init__(self) -> None:
        self._queues: dict[str, dict[Entry, None]] = {}  # never an empty queue
        self._numbers = itertools.count()

    def add(self, model: str, ticket: Ticket, rows: Sequence[Row]) -> Entry:
        """Queues a request's rows."""
        answer: asyncio.Future[Computed] = asyncio.get_running_loop().create_future()
        entry = Entry(model, ticket, rows, next(self._numbers), answer)
        self._queues.setdefault(model, {})[entry] = None
        return entry

    def discard(self, entry: Entry) -> None:
        """Takes out what is left of a request."""
        queue = self._queues.get(entry.model, {})
        queue.pop(entry, None)
        if not queue:
            self._queues.pop(entry.model, None)

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def models(self) -> Collection[str]:
        """The models that somebody waits for."""
        return self._queues.keys()

    def oldest(self) -> str | None:
        """The model whose first request has waited longest for its turn."""
        self._prune()
        if not self._queues:
            return None
        return min(self._queues, key=lambda model: next(iter(self._queues[model])).number)

    def take(self, model: str, most: int) -> Batch:
        """Up to `most` rows to run next, from the first requests, whole or in part.

        What is left of a large request waits behind all who have come meanwhile: nobody waits for
        more than a batch of each request before him.
        """
        self._prune()
        batch: Batch = []
        for entry in list(self._queues.get(model, ())):
            end = min(entry.taken + most - len(batch), len(entry.rows))
            batch += [(entry, row) for row in range(entry.taken, end)]
            entry.taken = end
            self.discard(entry)
            if end < len(entry.rows):
                entry.number = next(self._numbers)
                self._queues.setdefault(model, {})[entry] = None
            if len(batch) == most:
                break
        return batch

    def take_all(self, model: str | None = None) -> list[Entry]:
        """Empties the queue of one model, or all of them."""
        models = list(self._queues) if model is None else [model]
        return [entry for name in models for entry in self._queues.pop(name, {})]

    def _prune(self) -> None:
        now = asyncio.get_running_loop().time()
        for queue in list(self._queues.values()):
            for entry in [entry for entry in queue if not entry.alive(now)]:
                self.discard(entry)
