"""Talking to StreamOpticalFlow: an engine that answers, streams that alternate as a test likes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from protos.perceiver.v1 import perceiver_pb2 as pb
from server.engine import Engine
from tests.server.rpc_calls import (
    call,
    door,
    ends,
    frames,
    noise,
    of_error,
    outcome,
    raw,
    streaming,
)
from tests.server.serving import at_rest, lawful, light, stopped, until
from tests.tiny import make_optical_flow

__all__ = ["GOOD", "TILES", "Talk", "answers", "flowing", "stopped", "unary"]

TASK = "optical-flow"
SIZE = (24, 40)
TILES = 4  # of a frame
GOOD = noise(10, *SIZE)


@asynccontextmanager
async def flowing(folder: Path, **given: Any) -> AsyncIterator[tuple[Engine, Any]]:
    """A running engine whose default model for flow is `flow`, and a channel to it."""
    if not (folder / "models" / "flow").exists():
        make_optical_flow(folder / "models" / "flow")
    defaults = {"text-classification": "tiny", TASK: "flow"}
    async with light(folder, default_models=defaults, **given) as engine:
        engine.media.start()
        async with door(engine) as channel:
            assert len(await answers(channel, map(raw, GOOD[:2]))) == 1
            yield engine, channel
        await until(lambda: at_rest(engine))
        assert lawful(engine)


async def answers(channel: Any, images: Iterable[pb.Image], **options: Any) -> list[Any]:
    """All of a stream."""
    return [one async for one in streaming(channel, "StreamOpticalFlow")(frames(images, **options))]


class Talk:
    """A stream whose messages and answers alternate as a test likes."""

    def __init__(self, channel: Any, **options: Any) -> None:
        self.calling = streaming(channel, "StreamOpticalFlow")(**options)

    async def send(self, images: Sequence[pb.Image]) -> None:
        for image in images:
            await self.calling.write(pb.FlowFrame(frame=image))

    async def codes(self, count: int) -> list[str]:
        return [ends([await self.calling.read()])[0][1] for _ in range(count)]

    async def rest(self) -> list[str]:
        codes = []
        while (answer := await self.calling.read()) is not grpc.aio.EOF:
            codes += [code for _, code in ends([answer])]
        return codes

    async def refusal(self) -> tuple[str, str]:
        """(status, perceiver-code) of its end, whatever is answered before."""
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await self.rest()
        return of_error(error.value)[:2]


async def unary(channel: Any) -> tuple[str, str]:
    pair = pb.FramePair(frame1=raw(GOOD[0]), frame2=raw(GOOD[1]))
    return await outcome(call(channel, pb.OpticalFlowRequest(inputs=[pair])))
