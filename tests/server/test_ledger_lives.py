"""The ledger in any order of events, against a model of its counters."""

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    precondition,
    rule,
)

from server.errors import Fault
from server.ledger import Ledger, Ticket
from tests.server.test_ledger import OUTCOMES


def lawful(ledger: Ledger) -> bool:
    """The law, for every model and protocol."""
    return all(
        received
        == sum(n for (*whose, _), n in ledger.ended.items() if tuple(whose) == key)
        + ledger.queued[key]
        + ledger.in_flight[key]
        for key, received in ledger.received.items()
    )


MAX_QUEUE, MAX_BATCH = 10, 4
SHARE = MAX_QUEUE // 2


@dataclass
class Life:
    """A request as the model of the ledger sees it."""

    waiting: int = 0
    held: int = 0
    patient: int = 0  # of the held rows


class Lives(RuleBasedStateMachine):
    """Any number of requests in any order of events, against a model of the counters."""

    tickets = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.ledger = Ledger(MAX_QUEUE, MAX_BATCH)
        self.live: dict[Ticket, Life] = {}
        self.line: list[tuple[Ticket, int, asyncio.Task[None]]] = []
        self.ends = 0

    def teardown(self) -> None:
        self.runner.close()

    def has_room(self, rows: int) -> bool:
        waiting = sum(life.waiting for life in self.live.values())
        held = sum(life.held for life in self.live.values())
        return waiting + rows <= MAX_QUEUE and held + rows <= MAX_QUEUE + 2 * MAX_BATCH

    def move_up(self) -> None:
        """Those in line go in, in turn, as far as the first of them has room."""
        while self.line:
            ticket, rows, turn = self.line[0]
            patient = sum(life.patient for life in self.live.values())
            if not self.has_room(rows) or (patient and patient + rows > SHARE):
                break
            self.runner.run(asyncio.wait_for(turn, 60))
            life = self.live[ticket]
            life.waiting += rows
            life.held += rows
            life.patient += rows
            self.line.pop(0)
        self.runner.run(asyncio.sleep(0))
        assert not any(turn.done() for *_, turn in self.line)

    @rule(target=tickets, model=st.sampled_from("ab"), protocol=st.sampled_from(["rest", "grpc"]))
    def receive(self, model: str, protocol: str) -> Ticket:
        ticket = self.ledger.receive(model, protocol, deadline=0.0)
        self.live[ticket] = Life()
        return ticket

    @rule(ticket=tickets, rows=st.integers(0, 12))
    def admit(self, ticket: Ticket, rows: int) -> None:
        if ticket not in self.live or any(ticket is waits for waits, *_ in self.line):
            return
        life = self.live[ticket]
        fits = life.held + rows <= MAX_QUEUE and self.has_room(rows)
        if self.line:
            others = sum(life.held - life.patient for life in self.live.values())
            fits &= others + rows <= MAX_QUEUE - max(SHARE, self.line[0][1])
        if fits or rows == 0:
            ticket.admit(rows)
            life.waiting += rows
            life.held += rows
        else:
            with pytest.raises(Fault):
                ticket.admit(rows)

    @rule(ticket=tickets, rows=st.integers(1, MAX_QUEUE))
    def admit_in_turn(self, ticket: Ticket, rows: int) -> None:
        if ticket not in self.live or self.live[ticket].held:
            return
        if any(ticket is waits for waits, *_ in self.line):
            return

        async def begin() -> asyncio.Task[None]:
            turn = asyncio.create_task(ticket.admit_in_turn(rows))
            await asyncio.sleep(0)  # it stands in line now
            return turn

        self.line.append((ticket, rows, self.runner.run(begin())))
        self.move_up()

    @precondition(lambda self: self.line)
    @rule(data=st.data())
    def leave_the_line(self, data: st.DataObject) -> None:
        """A caller gives up: his request ends, once he has left the line."""
        place = data.draw(st.sampled_from(self.line))
        self.line.remove(place)
        ticket, _, turn = place
        turn.cancel()
        self.runner.run(asyncio.wait((turn,)))
        assert turn.cancelled()
        self.move_up()
        self.end(ticket, "cancelled")

    @rule(ticket=tickets, rows=st.integers(1, 3))
    def start(self, ticket: Ticket, rows: int) -> None:
        life = self.live.get(ticket, Life(waiting=rows))
        if life.waiting >= rows:
            ticket.start(rows)
            life.waiting -= rows
            self.move_up()

    @rule(ticket=tickets, outcome=st.sampled_from(OUTCOMES))
    def end(self, ticket: Ticket, outcome: str) -> None:
        if any(ticket is waits for waits, *_ in self.line):
            return  # its coroutine waits, so nobody ends it
        first = self.live.pop(ticket, None) is not None
        assert ticket.end(outcome) is first  # type: ignore[arg-type]
        self.ends += first
        self.move_up()

    @rule(ticket=consumes(tickets))
    def forget(self, ticket: Ticket) -> None:
        """The ticket is not touched again; its request still counts."""

    @invariant()
    def counters_agree(self) -> None:
        assert lawful(self.ledger)
        assert sum(self.ledger.ended.values()) == self.ends
        assert self.ledger.waiting_rows == sum(life.waiting for life in self.live.values())
        assert self.ledger.held_rows == sum(life.held for life in self.live.values())
        assert min(*self.ledger.queued.values(), *self.ledger.in_flight.values(), 0, 0) == 0


TestLives = Lives.TestCase
