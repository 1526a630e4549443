"""What the gRPC port puts up with: connections, streams, pings, metadata, sizes."""

from __future__ import annotations

import asyncio
import socket
import struct
import zlib
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import click
import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest

from server.app import serve
from server.rpc.app import options
from tests.live_server import LiveServer, serving
from tests.server.http2 import (
    ACK,
    CANCEL,
    DATA,
    DEAF,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    GOAWAY,
    HEADERS,
    HELLO,
    MAX_CONCURRENT_STREAMS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    TEXT_CLASSIFICATION,
    closed,
    connection,
    frame,
    frames,
    message,
    opening,
)
from tests.server.rpc_calls import IMAGE, TEXT, call, channel_to, refusal
from tests.server.serving import settings_of

REFLECTION = b"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
LIST_SERVICES = ServerReflectionRequest(list_services="").SerializeToString()


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


@pytest.mark.parametrize("sent", [b"", PREFACE[:10], PREFACE])
def test_a_connection_without_a_word_is_closed(hasty: LiveServer, sent: bytes) -> None:
    with connection(hasty) as sock:
        sock.sendall(sent)
        assert closed(sock)


@asynccontextmanager
async def quiet_server(folder: Path) -> AsyncIterator[tuple[Any, Any]]:
    """A connection to a server with our limits and half a second of patience, whose calls wait."""

    async def wait(_: object, __: object) -> None:
        await asyncio.Event().wait()

    server = grpc.aio.server(options=options(settings_of(folder), idle_s=0.5))
    method: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(wait)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("a", {"b": method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(HELLO)
        yield reader, writer
    finally:
        writer.close()
        await server.stop(0)


async def next_frame(reader: Any) -> tuple[int, int, bytes]:
    """(type, flags, payload)."""
    async with asyncio.timeout(20):
        head = await reader.readexactly(9)
        return head[3], head[4], await reader.readexactly(int.from_bytes(head[:3]))


async def test_a_connection_without_calls_is_closed(tmp_path: Path) -> None:
    async with quiet_server(tmp_path) as (reader, _):
        async with asyncio.timeout(20):
            assert await reader.read()
        assert reader.at_eof()


async def test_with_a_call_it_stays_while_the_client_answers_pings(tmp_path: Path) -> None:
    async with quiet_server(tmp_path) as (reader, writer):
        writer.write(opening(b"/a/b"))
        answered = 0
        while answered < 3:
            kind, flags, payload = await next_frame(reader)
            assert kind != GOAWAY
            if kind == PING and flags != ACK:
                writer.write(frame(PING, payload, ACK))
                answered += 1
        async with asyncio.timeout(20):  # from here on nobody answers
            await reader.read()
        assert reader.at_eof()


@pytest.mark.parametrize("path", [TEXT_CLASSIFICATION, b"/grpc.health.v1.Health/Watch", REFLECTION])
def test_a_client_that_does_not_read_its_answer_is_hung_up_on(
    hasty: LiveServer, path: bytes
) -> None:
    sent = TEXT(inputs=["x"]) if path == TEXT_CLASSIFICATION else HealthCheckRequest(service="")
    payload = LIST_SERVICES if path == REFLECTION else sent.SerializeToString()
    with connection(hasty) as sock, channel_to(hasty) as other:
        assert call(other, TEXT(inputs=["others have their own connection"])).results
        sock.sendall(DEAF + opening(path) + message(payload))
        assert closed(sock)
        assert call(other, TEXT(inputs=["and keep it"])).results
    assert "an answer was not read within 0.5 s" in hasty.log()


def test_so_many_streams_are_announced(hasty: LiveServer) -> None:
    with connection(hasty) as sock:
        sock.sendall(HELLO)
        settings = next(payload for kind, payload in frames(sock) if kind == SETTINGS)
    pairs = dict(struct.iter_unpack(">HI", settings))
    assert pairs[MAX_CONCURRENT_STREAMS] == 3


def test_a_flood_of_pings_is_told_to_go_away(hasty: LiveServer) -> None:
    with connection(hasty) as sock:
        sock.sendall(HELLO + frame(PING, b"12345678") * 20)
        farewell = next(payload for kind, payload in frames(sock) if kind == GOAWAY)
    assert int.from_bytes(farewell[4:8]) == ENHANCE_YOUR_CALM
    assert farewell[8:] == b"too_many_pings"


@pytest.mark.parametrize("part", [b"", b"\0\0\0\0\x09\x12"])
def test_a_call_whose_message_does_not_come_is_ended(hasty: LiveServer, part: bytes) -> None:
    before = hasty.metric("refused_total", protocol="grpc", code="too_slow")
    with connection(hasty) as sock:
        sock.sendall(HELLO + opening())
        sock.sendall(frame(DATA, part, 0, 1))
        assert any(kind == HEADERS for kind, _ in frames(sock))
    assert hasty.metric("refused_total", protocol="grpc", code="too_slow") == before + 1


def test_a_call_without_a_message_is_malformed(hasty: LiveServer) -> None:
    before = hasty.metric("refused_total", protocol="grpc", code="malformed")
    with connection(hasty) as sock:
        sock.sendall(HELLO + opening() + frame(DATA, b"", END_STREAM, 1))
        assert any(kind == HEADERS for kind, _ in frames(sock))
    assert hasty.metric("refused_total", protocol="grpc", code="malformed") == before + 1


def test_more_calls_than_streams_wait_for_their_turn(hasty: LiveServer) -> None:
    with channel_to(hasty) as channel, ThreadPoolExecutor(16) as pool:
        call(channel, TEXT(inputs=["now the client knows the limit"]))
        answers = list(pool.map(lambda n: call(channel, TEXT(inputs=[f"{n}"])), range(200)))
    assert len(answers) == 200


@pytest.mark.parametrize(
    ("more", "ending", "code"),
    [
        ({}, frame(RST_STREAM, CANCEL.to_bytes(4), 0, 1), "cancelled"),
        ({"grpc_timeout": b"9S"}, frame(RST_STREAM, CANCEL.to_bytes(4), 0, 1), "cancelled"),
        ({"grpc_timeout": b"200m"}, b"", "deadline"),
    ],
)
def test_a_call_that_ends_while_its_message_comes_in_is_counted_as_what_it_is(
    live: LiveServer, more: Any, ending: bytes, code: str
) -> None:
    with connection(live) as sock:
        before = live.metric("refused_total", protocol="grpc")
        counted = live.metric("refused_total", protocol="grpc", code=code)
        sock.sendall(HELLO + opening(**more) + frame(DATA, b"\0\0\0\0\x09\x12", 0, 1) + ending)
        live.await_metric("refused_total", before + 1, protocol="grpc")
        assert live.metric("refused_total", protocol="grpc", code=code) == counted + 1


def test_streams_that_are_reset_at_once_cost_little(hasty: LiveServer) -> None:
    payload = TEXT(inputs=["x"]).SerializeToString()
    computed = hasty.metric("items_computed_total")
    with connection(hasty) as sock:
        sock.sendall(HELLO)
        for stream in range(1, 4001, 2):
            sock.sendall(opening(stream=stream))
            sock.sendall(message(payload, stream))
            sock.sendall(frame(RST_STREAM, CANCEL.to_bytes(4), 0, stream))
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
