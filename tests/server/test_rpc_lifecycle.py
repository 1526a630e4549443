"""A call's deadline and its client's patience; what health says while models and workers come and
go.  The device is held still, so nothing here depends on a clock but the deadlines themselves."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from server.engine import Engine
from tests.server.rpc_calls import TEXT, call, door, outcome
from tests.server.serving import (
    ask,
    at_rest,
    computed,
    ended,
    held,
    lawful,
    light,
    settings_of,
    until,
    waiting,
)
from tests.tiny import make_text_classifier

SERVING, NOT_SERVING, UNKNOWN = 1, 2, 3


@asynccontextmanager
async def answering(folder: Path) -> AsyncIterator[tuple[Engine, Any]]:
    """An engine that has answered one request, and a channel to it."""
    async with light(folder) as engine, door(engine) as channel:
        await ask(engine, "warm", protocol="warm")
        yield engine, channel


@asynccontextmanager
async def held_door(folder: Path) -> AsyncIterator[tuple[Engine, Any]]:
    """An engine whose device is busy, and a channel to it."""
    async with answering(folder) as (engine, channel):
        async with held(engine):
            yield engine, channel
        await until(lambda: at_rest(engine))
        assert lawful(engine)


async def test_calls_whose_deadline_passes_are_expired_and_never_computed(tmp_path: Path) -> None:
    async with held_door(tmp_path) as (engine, channel):
        before = computed(engine)
        calls = [call(channel, TEXT(inputs=[f"{n}"]), timeout=0.1 + n / 200) for n in range(40)]
        # Whose clock says so first, the client's or the server's, is open.
        assert [(await outcome(one))[0] for one in calls] == ["DEADLINE_EXCEEDED"] * 40
        await until(lambda: ended(engine, "expired") == 40)
        assert ended(engine, "cancelled") == 0
    assert computed(engine) == before + 1  # what held the device


async def test_a_call_without_a_deadline_has_the_default(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, timeout_ms=50)
    async with Engine(settings) as engine, door(engine) as channel:  # its worker starts for longer
        assert await outcome(call(channel, TEXT(inputs=["a"]))) == ("DEADLINE_EXCEEDED", "deadline")
        assert ended(engine, "expired") == 1


async def test_a_deadline_is_capped(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, timeout_ms=50, max_timeout_ms=50)
    async with Engine(settings) as engine, door(engine) as channel:
        calling = call(channel, TEXT(inputs=["a"]), timeout=60)
        assert await outcome(calling) == ("DEADLINE_EXCEEDED", "deadline")


async def test_calls_that_are_given_up_are_cancelled_and_never_computed(tmp_path: Path) -> None:
    async with held_door(tmp_path) as (engine, channel):
        before = computed(engine)
        calls = [
            call(channel, TEXT(inputs=[f"{n}"]), timeout=timeout)
            for n in range(20)
            for timeout in (None, 60)
        ]
        sent = [asyncio.ensure_future(outcome(one)) for one in calls]
        await until(waiting(engine, 40))
        for one in calls:
            one.cancel()
        await asyncio.gather(*sent, return_exceptions=True)
        await until(lambda: ended(engine, "cancelled") == 40)
        assert ended(engine, "expired") == 0
        assert not waiting(engine, 1)()
    assert computed(engine) == before + 1


async def test_a_client_that_vanishes_is_forgotten(tmp_path: Path) -> None:
    async with held_door(tmp_path) as (engine, _):
        async with door(engine) as channel:
            sent = asyncio.ensure_future(outcome(call(channel, TEXT(inputs=["a"]))))
            await until(waiting(engine, 1))
        await asyncio.gather(sent, return_exceptions=True)
        await until(lambda: ended(engine, "cancelled") == 1)


class Watcher:
    """What a balancer hears of one service."""

    def __init__(self, channel: Any, service: str) -> None:
        stub = health_pb2_grpc.HealthStub(channel)
        self._stream = stub.Watch(health_pb2.HealthCheckRequest(service=service))

    async def next(self) -> int:
        async with asyncio.timeout(60):
            return int((await self._stream.read()).status)


async def check(channel: Any, service: str) -> int:
    stub = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    return int(answer.status)


async def test_health_follows_the_worker(tmp_path: Path) -> None:
    async with light(tmp_path) as engine, door(engine) as channel:
        services = ("", "perceiver.v1.Perceiver", "tiny", "tiny-fashion")
        watchers = [Watcher(channel, service) for service in services]
        first = [await one.next() for one in watchers]
        assert set(first) <= {SERVING, NOT_SERVING}
        await ask(engine, "warm")
        for one, status in zip(watchers, first, strict=True):
            assert status == SERVING or await one.next() == SERVING
        assert engine.worker.pid is not None
        os.kill(engine.worker.pid, signal.SIGKILL)
        for one in watchers:
            assert await one.next() == NOT_SERVING
            assert await one.next() == SERVING
        assert [await check(channel, service) for service in services] == [SERVING] * 4


async def test_a_model_that_was_not_pulled_does_not_serve(tmp_path: Path) -> None:
    async with answering(tmp_path) as (_, channel):
        assert await check(channel, "language-perceiver") == NOT_SERVING
        assert await check(channel, "tiny") == SERVING
        assert await Watcher(channel, "nobody").next() == UNKNOWN
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await check(channel, "nobody")
        assert error.value.code() is grpc.StatusCode.NOT_FOUND
        assert error.value.details() == "there is no service or model 'nobody': List names them"


async def test_health_lists_what_check_answers(tmp_path: Path) -> None:
    async with answering(tmp_path) as (engine, channel):
        listed = await health_pb2_grpc.HealthStub(channel).List(health_pb2.HealthListRequest())
        statuses = {name: int(answer.status) for name, answer in listed.statuses.items()}
        assert set(statuses) == {"", "perceiver.v1.Perceiver", *engine.registry.slots}
        assert statuses == {name: await check(channel, name) for name in statuses}
        assert {statuses["tiny"], statuses["language-perceiver"]} == {SERVING, NOT_SERVING}


async def test_a_broken_model_serves_again_after_its_back_off(tmp_path: Path) -> None:
    settings_of(tmp_path)
    weights = make_text_classifier(tmp_path / "models" / "other") / "model.safetensors"
    good = weights.read_bytes()
    async with answering(tmp_path) as (_, channel):
        watcher = Watcher(channel, "other")
        assert await watcher.next() == SERVING
        weights.write_bytes(good[:-100])
        request = TEXT(inputs=["a"], model="other")
        assert await outcome(call(channel, request)) == ("UNAVAILABLE", "load_failed")
        assert await watcher.next() == NOT_SERVING
        assert await check(channel, "") == SERVING
        weights.write_bytes(good)
        assert await watcher.next() == SERVING  # when the back-off is over, nobody having asked
        assert await outcome(call(channel, request)) == ("OK", "")


async def test_a_model_found_broken_does_not_serve_until_it_has_loaded(tmp_path: Path) -> None:
    settings_of(tmp_path)
    weights = make_text_classifier(tmp_path / "models" / "other") / "model.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[:-100])
    async with answering(tmp_path) as (_, channel):
        watcher = Watcher(channel, "other")
        assert await watcher.next() == NOT_SERVING
        weights.write_bytes(good)
        assert await outcome(call(channel, TEXT(inputs=["a"], model="other"))) == ("OK", "")
        assert await watcher.next() == SERVING


async def test_health_ends_with_the_first_word_of_a_stop(tmp_path: Path) -> None:
    async with answering(tmp_path) as (engine, channel):
        watchers = [Watcher(channel, service) for service in ("", "tiny")]
        assert [await one.next() for one in watchers] == [SERVING] * 2
        engine.leave()
        assert not engine.ready()
        assert [await one.next() for one in watchers] == [NOT_SERVING] * 2
        assert await outcome(call(channel, TEXT(inputs=["still served"]))) == ("OK", "")
        assert await engine.drain()
        refused = call(channel, TEXT(inputs=["no more"]))
        assert await outcome(refused) == ("UNAVAILABLE", "draining")
        assert dict(await refused.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"
        assert engine.ledger.refused["grpc", "draining"] == 1
