"""One terminal transition per request, and a law that holds at every moment."""

import asyncio

import pytest

from server.errors import KINDS, Fault
from server.ledger import Ledger

OUTCOMES = ("completed", "failed", "rejected", "cancelled", "expired")


def test_a_ticket_ends_once() -> None:
    ledger = Ledger(max_queue=4, max_batch=1)
    ticket = ledger.receive("m", "rest", deadline=0.0)
    ticket.admit(3)
    assert ticket.end("expired")
    assert not ticket.end("completed")
    ticket.start(1)  # a late batch; nothing moves
    assert ledger.ended == {("m", "rest", "expired"): 1}
    assert (ledger.waiting_rows, ledger.held_rows, ledger.in_flight["m", "rest"]) == (0, 0, 0)


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    ledger = Ledger(max_queue=4, max_batch=2)
    ledger.receive("m", "rest", deadline=0.0).admit(4)
    with pytest.raises(Fault) as caught:
        ledger.receive("m", "rest", deadline=0.0).admit(1)
    assert caught.value.code == "queue_full"
    assert caught.value.retry_after is not None
    assert caught.value.retry_after >= 1


def test_answers_pile_up_no_more_than_rows_do() -> None:
    ledger = Ledger(max_queue=4, max_batch=1)
    for _ in range(6):  # queue + 2 batches, all beyond the device and none answered
        ticket = ledger.receive("m", "rest", deadline=0.0)
        ticket.admit(1)
        ticket.start(1)
    with pytest.raises(Fault, match="waiting"):
        ledger.receive("m", "rest", deadline=0.0).admit(1)
    ticket.end("completed")
    ledger.receive("m", "rest", deadline=0.0).admit(1)


def test_a_request_that_never_fits_is_told_so() -> None:
    with pytest.raises(Fault) as caught:
        Ledger(max_queue=4, max_batch=2).receive("m", "rest", deadline=0.0).admit(5)
    assert caught.value.code == "too_large"


def test_a_draining_ledger_admits_nobody() -> None:
    ledger = Ledger(max_queue=4, max_batch=2)
    ledger.draining = True
    with pytest.raises(Fault) as caught:
        ledger.receive("m", "rest", deadline=0.0).admit(1)
    assert caught.value.code == "draining"


def test_what_was_admitted_before_a_drain_may_grow() -> None:
    ledger = Ledger(max_queue=4, max_batch=2)
    ticket = ledger.receive("m", "rest", deadline=0.0)
    ticket.admit(1)
    ledger.draining = True
    ticket.admit(0)  # decoded: as many rows as items
    ticket.admit(2)
    assert ledger.waiting_rows == 3


async def test_who_waits_for_room_is_admitted_in_turn() -> None:
    ledger = Ledger(max_queue=6, max_batch=8)
    first, *others = (ledger.receive("m", "grpc", deadline=0.0) for _ in range(4))
    first.admit(5)
    turns = [
        asyncio.create_task(ticket.admit_in_turn(rows))
        for ticket, rows in zip(others, (2, 1, 6), strict=True)
    ]
    await asyncio.sleep(0)
    with pytest.raises(Fault) as caught:  # there is room for one, but others were here before
        ledger.receive("m", "rest", deadline=0.0).admit(1)
    assert caught.value.code == "queue_full"
    assert (ledger.waiting_rows, [turn.done() for turn in turns]) == (5, [False] * 3)
    first.start(2)
    await asyncio.gather(*turns[:2])
    assert (ledger.waiting_rows, turns[2].done()) == (6, False)  # 2 of 5 went; 2 and 1 came; no 6
    for ticket in (first, *others[:2]):
        ticket.end("completed")
    await turns[2]
    assert (ledger.waiting_rows, ledger.held_rows) == (6, 6)


async def test_large_requests_that_wait_leave_room_for_those_that_do_not() -> None:
    ledger = Ledger(max_queue=1024, max_batch=32)
    on, behind = (ledger.receive("m", "grpc", deadline=0.0) for _ in range(2))
    await on.admit_in_turn(575)  # more than half of the queue, as a frame of 1080p may make
    turn = asyncio.create_task(behind.admit_in_turn(575))
    await asyncio.sleep(0)
    small = [ledger.receive("m", "rest", deadline=0.0) for _ in range(450)]
    for ticket in small[:449]:
        ticket.admit(1)
    with pytest.raises(Fault, match="1024 rows are waiting"):
        small[449].admit(1)
    on.start(575)
    with pytest.raises(Fault):  # there is room, but it is for who was here before
        small[449].admit(1)
    on.end("completed")
    await turn
    assert ledger.waiting_rows == 1024


async def test_many_that_wait_hold_half_of_the_queue() -> None:
    ledger = Ledger(max_queue=8, max_batch=8)
    patient = [ledger.receive("m", "grpc", deadline=0.0) for _ in range(3)]
    turns = [asyncio.create_task(ticket.admit_in_turn(2)) for ticket in patient]
    await asyncio.sleep(0)
    assert [turn.done() for turn in turns] == [True, True, False]
    ledger.receive("m", "rest", deadline=0.0).admit(4)
    patient[0].start(2)  # not done with yet
    await asyncio.sleep(0)
    assert not turns[2].done()
    patient[0].end("completed")
    await turns[2]


async def test_who_gives_up_waiting_leaves_his_place_to_the_next() -> None:
    ledger = Ledger(max_queue=4, max_batch=1)
    first, large, small = (ledger.receive("m", "grpc", deadline=0.0) for _ in range(3))
    first.admit(2)
    turns = [asyncio.create_task(one.admit_in_turn(n)) for one, n in ((large, 4), (small, 1))]
    await asyncio.sleep(0)
    turns[0].cancel()
    await turns[1]
    assert (ledger.waiting_rows, ledger.held_rows) == (3, 3)
    turns[0] = asyncio.create_task(large.admit_in_turn(4))
    await asyncio.sleep(0)
    turns[0].cancel()
    first.end("completed")  # room, while who waited for it is on his way out
    small.end("completed")
    assert (ledger.waiting_rows, ledger.held_rows) == (0, 0)
    ledger.receive("m", "rest", deadline=0.0).admit(4)


async def test_what_was_accepted_waits_through_a_drain_but_never_for_what_cannot_be() -> None:
    ledger = Ledger(max_queue=4, max_batch=2)
    ticket = ledger.receive("m", "grpc", deadline=0.0)
    ledger.draining = True
    await ticket.admit_in_turn(4)
    with pytest.raises(Fault, match="makes 5 rows, the limit is 4"):
        await ledger.receive("m", "grpc", deadline=0.0).admit_in_turn(5)


async def test_idle_means_that_every_request_has_ended() -> None:
    ledger = Ledger(max_queue=4, max_batch=2)
    await asyncio.wait_for(ledger.wait_idle(), 1)
    one, two = (ledger.receive("m", "rest", deadline=0.0) for _ in range(2))
    waiting = asyncio.create_task(ledger.wait_idle())
    one.end("completed")
    await asyncio.sleep(0)
    assert not waiting.done()
    two.end("failed")
    await asyncio.wait_for(waiting, 1)


def test_every_kind_of_fault_ends_a_request_in_a_known_way() -> None:
    for code, kind in KINDS.items():
        assert kind.outcome in OUTCOMES
        assert 400 <= kind.http < 600
        assert (Fault(code, "x").retry_after or 1.0) >= 1.0
