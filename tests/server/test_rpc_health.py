"""Health and reflection under clients that mean no good: nobody holds up another,
and nothing is kept."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.server.http2 import DEAF, HEADERS, message, opening
from tests.server.rpc_calls import IMAGE, TEXT, call, door, of_error, opened, outcome
from tests.server.serving import light, until

SERVING, NOT_SERVING, UNKNOWN = 1, 2, 3
MIB = 1024 * 1024


def watch(channel: Any, service: str = "") -> Any:
    request = health_pb2.HealthCheckRequest(service=service)
    return health_pb2_grpc.HealthStub(channel).Watch(request)


async def heard(stream: Any) -> int:
    async with asyncio.timeout(20):
        return int((await stream.read()).status)


async def test_a_watcher_that_reads_nothing_holds_up_nobody(tmp_path: Path) -> None:
    async with light(tmp_path) as engine, opened(engine) as port:
        await engine.worker.wait_ready()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(DEAF)
        for stream in range(1, 20, 2):
            writer.write(opening(b"/grpc.health.v1.Health/Watch", stream) + message(b"", stream))
        begun = 0
        while begun < 10:
            head = await reader.readexactly(9)
            await reader.readexactly(int.from_bytes(head[:3]))
            begun += head[3] == HEADERS
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            watcher = watch(channel)
            assert await heard(watcher) == SERVING
            engine.leave()
            assert await heard(watcher) == NOT_SERVING
        writer.close()


async def test_a_publisher_that_fails_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with light(tmp_path) as engine, door(engine) as channel:
        await engine.worker.wait_ready()
        watcher = watch(channel)
        while await heard(watcher) != SERVING:
            pass
        with monkeypatch.context() as broken:
            broken.setattr(engine, "serving", None)
            engine.changed.set()
            await until(lambda: "health stays as it was: our bug" in caplog.text)
        engine.leave()
        assert await heard(watcher) == NOT_SERVING


@pytest.mark.parametrize(
    ("size", "found"),
    [
        (128, ("NOT_FOUND", "unknown_model")),
        (129, ("INVALID_ARGUMENT", "invalid_input")),
        (64 * 1024, ("RESOURCE_EXHAUSTED", "too_large")),
    ],
)
async def test_long_names_are_refused_before_they_are_kept(
    tmp_path: Path, size: int, found: tuple[str, str]
) -> None:
    async with light(tmp_path) as engine, door(engine) as channel:
        request = health_pb2.HealthCheckRequest(service="n" * size)
        assert await outcome(health_pb2_grpc.HealthStub(channel).Check(request)) == found
        if size == 128:
            assert await heard(watch(channel, request.service)) == UNKNOWN
            return
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await heard(watch(channel, request.service))
        assert of_error(error.value)[:2] == found


async def test_a_large_question_about_the_services_is_refused(tmp_path: Path) -> None:
    async with light(tmp_path) as engine, door(engine) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        small = reflection_pb2.ServerReflectionRequest(list_services="")
        large = reflection_pb2.ServerReflectionRequest(list_services="x" * 64 * 1024)
        asking = stub.ServerReflectionInfo(iter([small, large]))
        assert (await asking.read()).HasField("list_services_response")
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await asking.read()
        assert of_error(error.value)[:2] == ("RESOURCE_EXHAUSTED", "too_large")
        assert engine.ledger.refused["grpc", "too_large"] == 1


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (TEXT(inputs=["a" * 5 * MIB]), "too_large"),
        (TEXT(inputs=["a" * 3 * MIB]), "invalid_input"),
        (IMAGE(inputs=[bytes(5 * MIB)]), "unsupported_media_type"),
        (IMAGE(inputs=[b"", bytes(5 * MIB)], model="nobody"), "unsupported_media_type"),
    ],
)
async def test_what_is_refused_is_not_kept(tmp_path: Path, request_: Any, code: str) -> None:
    """Without the collector, which may take minutes to come."""
    async with light(tmp_path) as engine, door(engine) as channel:
        found = await outcome(call(channel, request_))
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            for _ in range(8):
                assert await outcome(call(channel, request_)) == found
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            gc.enable()
    assert found[1] == code
    assert kept < 8 * MIB
