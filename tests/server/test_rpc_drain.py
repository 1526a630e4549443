"""How the gRPC door stops: SIGTERM under load loses no call, health says so at once."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.live_server import LIGHT, serving, until
from tests.server.http2 import DATA, HEADERS, HELLO, PING, connection, frame, frames, opening
from tests.server.rpc_calls import TEXT, call, channel_to, refusal

PING_DATA = b"are you?"


@pytest.fixture
def start(model_repository: Any, defaults: Any) -> Any:
    """Starts a server of the test's own, with more flags."""
    repository = ("--model-repository", model_repository)
    return lambda *flags: serving(*repository, *defaults, *flags, program=LIGHT)


async def load(target: str, outcomes: Counter[str], enough: threading.Event) -> None:
    """Sixteen connections that ask without pause until they are told that the server stops."""

    async def client(number: int) -> None:
        own = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
        async with grpc.aio.insecure_channel(target, options=own) as channel:
            for n in range(10**6):
                try:
                    await call(channel, TEXT(inputs=[f"client {number} call {n}"]))
                except grpc.aio.AioRpcError as error:
                    found = dict(error.trailing_metadata() or ())
                    outcomes[
                        found.get("perceiver-code") or f"{error.code()} {error.details()}"
                    ] += 1
                    return
                outcomes["OK"] += 1
                if outcomes["OK"] >= 500:
                    enough.set()

    await asyncio.gather(*(client(number) for number in range(16)))


def test_a_stop_under_load_loses_no_call(start: Any) -> None:
    with start() as server, ThreadPoolExecutor(1) as pool:
        outcomes: Counter[str] = Counter()
        enough = threading.Event()
        work = load(server.grpc_target, outcomes, enough)
        loading = pool.submit(asyncio.run, work)
        until(lambda: enough.is_set() or loading.done(), "500 answers", 90)
        server.signal()
        loading.result(60)
        assert server.exit_code() == 0
    assert set(outcomes) == {"OK", "draining"}
    assert outcomes["OK"] >= 500


def test_what_was_accepted_is_answered_and_health_ends_at_once(start: Any) -> None:
    with start() as server, channel_to(server) as channel, ThreadPoolExecutor(1) as pool:
        call(channel, TEXT(inputs=["warm"]))
        with server.holding():
            pending = pool.submit(call, channel, TEXT(inputs=["held"]))
            server.await_metric("in_flight", 1)
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert next(watch).status == 1
            server.signal()
            assert next(watch).status == 2
            assert httpx.get(server.url + "/readyz").status_code == 503
            status, code, _ = refusal(channel, TEXT(inputs=["too late"]))
            assert (status, code) == ("UNAVAILABLE", "draining")
            assert not pending.done()
        assert pending.result().results
        assert server.exit_code() == 0
        with pytest.raises(grpc.RpcError):
            next(watch)


def test_during_the_delay_calls_are_still_taken(start: Any) -> None:
    with start("--drain-delay-s", "60") as server, channel_to(server) as channel:
        call(channel, TEXT(inputs=["warm"]))
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == 1
        server.signal()
        assert next(watch).status == 2
        assert call(channel, TEXT(inputs=["during"])).results
        server.signal()
        assert server.exit_code() in (0, 1)


def test_who_is_still_sending_a_message_is_told(start: Any) -> None:
    with start() as server, connection(server) as sock:
        sock.sendall(
            HELLO + opening() + frame(DATA, b"\0\0\0\0\x09\x12", 0, 1) + frame(PING, PING_DATA)
        )
        coming = frames(sock)
        assert any(kind == PING and payload == PING_DATA for kind, payload in coming)
        server.signal()
        assert any(kind == HEADERS and b"draining" in payload for kind, payload in coming)
        assert server.exit_code() == 0


def test_a_second_signal_ends_calls_with_a_reason(start: Any) -> None:
    with start() as server, channel_to(server) as channel, ThreadPoolExecutor(1) as pool:
        call(channel, TEXT(inputs=["warm"]))
        with server.holding():
            pending = pool.submit(refusal, channel, TEXT(inputs=["held"]))
            server.await_metric("in_flight", 1)
            server.signal()
            server.signal(2)
            status, code, _ = pending.result()
        assert status == "UNAVAILABLE"
        assert code in ("draining", "worker_died")
        assert server.exit_code() == 1
