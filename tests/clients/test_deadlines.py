"""A call ends by its deadline, whatever the other side does: here it does it for ever."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from perceiver_client.context import Context
from perceiver_client.errors import from_http, from_rpc

from tests.clients.peers import peer, refusal, tcp
from tests.clients.ways import WAYS, Way
from tests.live_server import LiveServer

SETTINGS = bytes(3) + b"\x04" + bytes(5)  # an empty HTTP/2 frame: the connection is open
PING = b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" + bytes(8)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

each_way = pytest.mark.parametrize("name", WAYS)
TIMEOUT = {"timeout": 0.3}


@contextmanager
def black_hole() -> Iterator[dict[str, str]]:
    """URLs of a port that accepts no connection: what waits to be accepted is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        waiting = []
        try:
            for _ in range(4):
                waiting.append(socket.socket())
                waiting[-1].setblocking(False)
                waiting[-1].connect_ex(address)
            yield {scheme: f"{scheme}://127.0.0.1:{address[1]}" for scheme in ("http", "grpc")}
        finally:
            for one in waiting:
                one.close()


@each_way
def test_a_port_that_accepts_nobody(name: str) -> None:
    with black_hole() as urls:
        assert Way(name, urls).error("text_classification", "a", **TIMEOUT).code == "deadline"


@pytest.mark.parametrize(
    ("name", "first", "drip"),
    [
        *((name, b"", b"") for name in WAYS),
        *((name, HEAD, b"") for name in WAYS[:2]),
        *((name, HEAD, b"X-One: more\r\n") for name in WAYS[:2]),
        *((name, HEAD + b"Content-Length: 1000000\r\n\r\n[", b" ") for name in WAYS[:2]),
        *((name, SETTINGS, b"") for name in WAYS[2:]),
        *((name, SETTINGS, PING) for name in WAYS[2:]),
    ],
)
def test_a_server_that_sends_nothing_or_too_little(name: str, first: bytes, drip: bytes) -> None:
    with tcp(first, drip=drip) as urls:
        error = Way(name, urls).error("text_classification", "a", **TIMEOUT)
        assert error.code == "deadline"
        assert "0.3 s" in error.message
        assert error.request_id


def test_one_deadline_has_one_sentence_whoever_tells_first() -> None:
    """The server counts whole milliseconds and may be first; its own keeps its words."""
    reply = refusal("deadline", 504, "DEADLINE_EXCEEDED")
    with peer(reply) as script:
        error = Way("grpc blocking", script.urls).error("text_classification", "a")
    for context, sentence in (
        (Context(60, "id"), "not now"),
        (Context(0.0001, "id"), "no answer within 0.0001 s"),
    ):
        assert from_rpc("grpc://a:1", error.__cause__, context).message == sentence
        assert from_http("http://a:1", 504, {}, reply.body or b"", context).message == sentence


def test_a_model_that_takes_longer(way: Way, live: LiveServer) -> None:
    assert way.error("text_classification", "~slow~", **TIMEOUT).code == "deadline"
    live.await_metric("in_flight", 0)
    live.await_metric("queued", 0)
