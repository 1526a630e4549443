"""What the gRPC port puts up with: connections, streams, pings, metadata, sizes."""

from __future__ import annotations

import asyncio
import socket
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import click
import grpc
import pytest

from server.app import serve
from tests.live_server import LiveServer, serving
from tests.server.rpc_calls import IMAGE, TEXT, call, channel_to, refusal
from tests.server.serving import settings_of

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, END_HEADERS = 1, 4
MAX_CONCURRENT_STREAMS, ENHANCE_YOUR_CALM = 3, 11


@pytest.fixture(scope="module")
def hasty(model_repository: Any, fault_plan: Any, defaults: Any) -> Iterator[LiveServer]:
    """A server with small limits and little patience."""
    flags = ["--header-timeout-s", "0.5", "--body-timeout-s", "0.5"]
    flags += ["--max-message-bytes", "100000", "--max-streams", "3"]
    plan = ("--model-repository", model_repository, "--fault-plan", fault_plan)
    with serving(*plan, *defaults, *flags) as server:
        with channel_to(server) as channel:
            call(channel, TEXT(inputs=["warm"]))
        yield server


@contextmanager
def connection(server: LiveServer) -> Iterator[socket.socket]:
    host, _, port = server.grpc_target.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as sock:
        yield sock


def frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 0) -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def literal(name: bytes, value: bytes) -> bytes:
    """A header field as HPACK writes it without any table."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


CALL = b"".join(
    literal(name, value)
    for name, value in (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/perceiver.v1.Perceiver/TextClassification"),
        (b":authority", b"x"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    )
)


def frames(sock: socket.socket) -> Iterator[tuple[int, bytes]]:
    """(type, payload) of all that comes, until the other side closes."""
    with sock.makefile("rb") as stream:
        while head := stream.read(9):
            yield head[3], stream.read(int.from_bytes(head[:3]))


@pytest.mark.parametrize("sent", [b"", PREFACE[:10], PREFACE])
def test_a_connection_without_a_word_is_closed(hasty: LiveServer, sent: bytes) -> None:
    with connection(hasty) as sock:
        sock.sendall(sent)
        assert list(frames(sock)) is not None  # it ends, or the socket's time is out


def test_so_many_streams_are_announced(hasty: LiveServer) -> None:
    with connection(hasty) as sock:
        sock.sendall(PREFACE + frame(SETTINGS))
        settings = next(payload for kind, payload in frames(sock) if kind == SETTINGS)
    pairs = dict(struct.iter_unpack(">HI", settings))
    assert pairs[MAX_CONCURRENT_STREAMS] == 3


def test_a_flood_of_pings_is_told_to_go_away(hasty: LiveServer) -> None:
    with connection(hasty) as sock:
        sock.sendall(PREFACE + frame(SETTINGS) + frame(PING, b"12345678") * 20)
        farewell = next(payload for kind, payload in frames(sock) if kind == GOAWAY)
    assert int.from_bytes(farewell[4:8]) == ENHANCE_YOUR_CALM
    assert farewell[8:] == b"too_many_pings"


@pytest.mark.parametrize("message", [b"", b"\0\0\0\0\x09\x12"])
def test_a_call_whose_message_does_not_come_is_ended(hasty: LiveServer, message: bytes) -> None:
    before = hasty.metric("refused_total", protocol="grpc", code="too_slow")
    with connection(hasty) as sock:
        sock.sendall(PREFACE + frame(SETTINGS) + frame(HEADERS, CALL, END_HEADERS, 1))
        sock.sendall(frame(DATA, message, 0, 1))
        assert any(kind == HEADERS for kind, _ in frames(sock))
    assert hasty.metric("refused_total", protocol="grpc", code="too_slow") == before + 1


def test_a_call_without_a_message_is_malformed(hasty: LiveServer) -> None:
    before = hasty.metric("refused_total", protocol="grpc", code="malformed")
    with connection(hasty) as sock:
        sock.sendall(PREFACE + frame(SETTINGS) + frame(HEADERS, CALL, END_HEADERS | END_STREAM, 1))
        assert any(kind == HEADERS for kind, _ in frames(sock))
    assert hasty.metric("refused_total", protocol="grpc", code="malformed") == before + 1


def test_more_calls_than_streams_wait_for_their_turn(hasty: LiveServer) -> None:
    with channel_to(hasty) as channel, ThreadPoolExecutor(16) as pool:
        call(channel, TEXT(inputs=["now the client knows the limit"]))
        answers = list(pool.map(lambda n: call(channel, TEXT(inputs=[f"{n}"])), range(200)))
    assert len(answers) == 200


def test_streams_that_are_reset_at_once_cost_little(hasty: LiveServer) -> None:
    message = TEXT(inputs=["x"]).SerializeToString()
    body = b"\0" + len(message).to_bytes(4) + message
    computed = hasty.metric("items_computed_total")
    with connection(hasty) as sock:
        sock.sendall(PREFACE + frame(SETTINGS))
        for stream in range(1, 4001, 2):
            sock.sendall(frame(HEADERS, CALL, END_HEADERS, stream))
            sock.sendall(frame(DATA, body, END_STREAM, stream))
            sock.sendall(frame(RST_STREAM, (8).to_bytes(4), 0, stream))
        sock.sendall(frame(PING, b"the last"))
        assert any(kind == PING and payload == b"the last" for kind, payload in frames(sock))
    with channel_to(hasty) as channel:
        assert call(channel, TEXT(inputs=["others are served"])).results
    assert hasty.metric("items_computed_total") < computed + 200


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_message_over_the_limit_is_refused(hasty: LiveServer, compression: Any) -> None:
    with channel_to(hasty) as channel:
        request = IMAGE(inputs=[bytes(200_000)])
        assert len(zlib.compress(request.SerializeToString())) < 1000
        status, _, sentence = refusal(channel, request, compression=compression)
        assert status == "RESOURCE_EXHAUSTED"
        assert "larger than max" in sentence
        assert call(channel, TEXT(inputs=["a"]), compression=compression).results


@pytest.mark.parametrize("values", [["x" * 17_000], ["x" * 100] * 200])
def test_metadata_over_the_limit_is_refused(hasty: LiveServer, values: list[str]) -> None:
    many = tuple((f"key-{n}", value) for n, value in enumerate(values))
    with channel_to(hasty) as channel:
        status, _, _ = refusal(channel, TEXT(inputs=["a"]), metadata=many)
        assert status == "RESOURCE_EXHAUSTED"
        assert call(channel, TEXT(inputs=["a"]), metadata=many[:1] if len(many) > 1 else ())


async def test_a_taken_port_is_one_sentence(tmp_path: Any) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(click.ClickException) as error:
            await serve(settings_of(tmp_path, http_port=0, grpc_port=port))
    assert f"cannot listen on 127.0.0.1 port {port}: Address already" in error.value.message
    assert error.value.message.endswith("; --grpc-port names another port")


def test_two_servers_do_not_share_a_port(hasty: LiveServer, tmp_path: Any) -> None:
    port = hasty.grpc_target.rpartition(":")[2]
    with pytest.raises(click.ClickException, match="Address already in use"):
        asyncio.run(serve(settings_of(tmp_path, http_port=0, grpc_port=int(port))))
