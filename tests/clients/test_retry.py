"""What is tried again, when, and what is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
from perceiver_client import Label

from tests.clients.peers import Peer, Reply, peer, refusal, tcp
from tests.clients.ways import WAYS, Way

FULL = refusal("queue_full", 429, "RESOURCE_EXHAUSTED", after_s=1)
DRAINING = refusal("draining", 503, "UNAVAILABLE", after_s=1)
NEVER = refusal("queue_full", 429, "RESOURCE_EXHAUSTED", after_s=3600)
INVALID = refusal("invalid_input", 422, "INVALID_ARGUMENT")
HOPELESS = refusal("worker_died", 503, "UNAVAILABLE")
BROKEN = Reply(0, "UNAVAILABLE")  # as grpc itself reports it
HALF = Reply(200, "UNAVAILABLE", {"Content-Length": "9999", "Connection": "close"}, body=b"[[")

each_way = pytest.mark.parametrize("name", WAYS)


def gaps(script: Peer) -> list[float]:
    """Seconds between one request and the next."""
    times = [seen.at for seen in script.seen]
    return [after - before for before, after in pairwise(times)]


@each_way
def test_a_refusal_is_tried_again_when_the_server_said(name: str) -> None:
    with peer(FULL, DRAINING, Reply()) as script:
        assert Way(name, script.urls).ask("text_classification", "a") == [Label("yes", 0.5)]
        first, second = gaps(script)
        assert min(first, second) >= 1
        assert len({seen.request_id for seen in script.seen}) == 1
        assert script.seen[0].timeout > script.seen[1].timeout + 0.9 > script.seen[2].timeout


@each_way
def test_the_last_error_is_raised_after_the_last_try(name: str) -> None:
    with peer(FULL) as script:
        error = Way(name, script.urls, retries=1).error("text_classification", "a")
        assert (error.code, error.message, error.retry_after) == ("queue_full", "not now", 1.0)
        assert [seen.request_id for seen in script.seen] == [error.request_id] * 2


@each_way
def test_no_wait_goes_beyond_the_deadline(name: str) -> None:
    with peer(NEVER) as script:
        error = Way(name, script.urls).error("text_classification", "a", timeout=60)
        assert (error.code, error.retry_after) == ("queue_full", 3600)
        assert len(script.seen) == 1


@pytest.mark.parametrize("reply", [INVALID, HOPELESS])
@each_way
def test_what_is_no_use_is_not_tried_again(name: str, reply: Reply) -> None:
    with peer(reply, Reply()) as script:
        error = Way(name, script.urls).error("text_classification", "a")
        assert error.retry_after is None
        assert len(script.seen) == 1


@pytest.mark.parametrize("name", ["http blocking", "http async"])
def test_retry_after_may_be_a_date(name: str) -> None:
    when = datetime.now(UTC) + timedelta(seconds=3600)
    dated = Reply(429, "OK", {"Retry-After": format_datetime(when, usegmt=True)}, body=FULL.body)
    with peer(dated) as script:
        error = Way(name, script.urls).error("text_classification", "a")
        assert error.retry_after == pytest.approx(3600, abs=60)


@each_way
@pytest.mark.parametrize("reply", [BROKEN, HALF])
def test_a_broken_connection_is_tried_again(name: str, reply: Reply) -> None:
    with peer(reply, Reply()) as script:
        assert Way(name, script.urls).ask("text_classification", "a") == [Label("yes", 0.5)]
        assert len(script.seen) == 2


@each_way
def test_a_connection_that_always_breaks(name: str) -> None:
    with tcp(close=True) as urls:
        error = Way(name, urls, retries=1).error("text_classification", "a")
        assert error.code == "unreachable"
        assert error.request_id
