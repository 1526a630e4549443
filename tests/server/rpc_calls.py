"""Calls of the gRPC door, as any client's stub would make them, and a door in the test's loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import grpc
import numpy as np

from protos.perceiver.v1 import perceiver_pb2 as pb
from server.engine import Engine
from server.rpc.app import RpcServer
from tests.live_server import LiveServer

METHODS = pb.DESCRIPTOR.services_by_name["Perceiver"].methods_by_name
TEXT = pb.TextClassificationRequest
MASK = pb.FillMaskRequest
IMAGE = pb.ImageClassificationRequest


def method(channel: Any, name: str) -> Any:
    """The callable of an RPC on a channel, be it of grpc or grpc.aio."""
    types = METHODS[name]
    return channel.unary_unary(
        f"/perceiver.v1.Perceiver/{name}",
        request_serializer=getattr(pb, types.input_type.name).SerializeToString,
        response_deserializer=getattr(pb, types.output_type.name).FromString,
    )


def streaming(channel: Any, name: str) -> Any:
    """The callable of an RPC that streams both ways."""
    types = METHODS[name]
    return channel.stream_stream(
        f"/perceiver.v1.Perceiver/{name}",
        request_serializer=getattr(pb, types.input_type.name).SerializeToString,
        response_deserializer=getattr(pb, types.output_type.name).FromString,
    )


def raw(pixels: np.ndarray[Any, Any]) -> pb.Image:
    """Pixels as a message."""
    height, width, _ = pixels.shape
    return pb.Image(raw=pb.RawImage(height=height, width=width, rgb=pixels.tobytes()))


def noise(count: int, height: int, width: int) -> list[np.ndarray[Any, Any]]:
    """Frames that have nothing in common; the same ones for every call."""
    random = np.random.default_rng(0)
    return list(random.integers(0, 256, (count, height, width, 3), np.uint8))


def frames(images: Iterable[pb.Image], **options: Any) -> Iterator[pb.FlowFrame]:
    """The messages of a stream of images."""
    for number, image in enumerate(images):
        yield pb.FlowFrame(frame=image, options=None if number else pb.FlowOptions(**options))


def field_of(flow: Any) -> np.ndarray[Any, Any]:
    """float32 (height, width, 2) of a flow sent as FLOAT32."""
    return np.frombuffer(flow.data, "<f4").reshape(flow.height, flow.width, 2)


def ends(answers: Iterable[Any]) -> list[tuple[int, str]]:
    """(index, code) of a stream's answers; `ok` where there is no error."""
    return [(one.index, one.error.code or "ok") for one in answers]


def method_of(request: Any) -> str:
    """The RPC that takes a request."""
    return str(request.DESCRIPTOR.name).removesuffix("Request")


def call(channel: Any, request: Any, **options: Any) -> Any:
    """Sends a request to its RPC; the answer, or what grpc.aio awaits."""
    return method(channel, method_of(request))(request, **options)


def trailers(call: Any) -> dict[str, str]:
    """A finished call's trailing metadata."""
    return dict(call.trailing_metadata())


def refusal(channel: Any, request: Any, **options: Any) -> tuple[str, str, str]:
    """(status, perceiver-code, sentence) of a call that must fail."""
    try:
        answer = call(channel, request, **options)
    except grpc.RpcError as error:
        return of_error(error)
    raise AssertionError(f"it was answered: {answer}")


def of_error(error: Any) -> tuple[str, str, str]:
    """(status, perceiver-code, sentence)."""
    return error.code().name, trailers(error).get("perceiver-code", ""), error.details()


async def outcome(calling: Any) -> tuple[str, str]:
    """(status, perceiver-code) of a call of grpc.aio, which may have been answered."""
    try:
        await calling
    except grpc.aio.AioRpcError as error:
        return of_error(error)[:2]
    return "OK", ""


@contextmanager
def channel_to(live: LiveServer, *options: tuple[str, Any]) -> Iterator[Any]:
    """A connection of its own."""
    own = (("grpc.use_local_subchannel_pool", 1), *options)
    with grpc.insecure_channel(live.grpc_target, options=own) as channel:
        yield channel


@asynccontextmanager
async def door(engine: Engine) -> AsyncIterator[Any]:
    """A channel to a gRPC door of the engine, both in this loop."""
    async with (
        opened(engine) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield channel


@asynccontextmanager
async def opened(engine: Engine) -> AsyncIterator[int]:
    """The port of a gRPC door of the engine, in this loop."""
    server = RpcServer(engine, "127.0.0.1", 0)
    await server.start()
    try:
        yield server.port
    finally:
        await server.stop(0)
