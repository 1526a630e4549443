"""Optical flow in gRPC's words: options, pairs of frames, fields."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from perceiver_core.pipelines.base import Pipeline
from perceiver_core.pipelines.optical_flow import Flow, FramePair, OpticalFlowInput
from protos.perceiver.v1 import perceiver_pb2 as pb
from server.arrays import flo, little_endian
from server.errors import Fault
from server.media_pool import MediaPool
from server.rpc.images import Pixels, pixels_of
from server.rpc.parts import Parts, as_field, pieces
from server.work import Undecoded

Field = NDArray[np.float32]  # (height, width, 2)


def _float16(flow: Field) -> Parts:
    """Nothing becomes infinite."""
    most = np.finfo(np.float16).max
    return pieces(little_endian(flow.clip(-most, most).astype(np.float16)))


WRITERS: dict[int, Callable[[Field], Parts]] = {  # the others are drawn by a media child
    pb.FLOW_ENCODING_FLOAT32: lambda flow: pieces(little_endian(flow)),
    pb.FLOW_ENCODING_FLOAT16: _float16,
    pb.FLOW_ENCODING_FLO: lambda flow: [piece for part in flo(flow) for piece in pieces(part)],
}
ENCODINGS = (*WRITERS, pb.FLOW_ENCODING_PNG)


@dataclass(frozen=True)
class Options:
    """What is asked of every pair."""

    model: str
    region: tuple[int, int, int, int] | None
    stride: int
    encoding: pb.FlowEncoding

    @classmethod
    def of(cls, given: pb.FlowOptions) -> Self:
        """Fault invalid_input where the encoding is unknown; the pipeline checks the rest."""
        part = given.region
        region = (part.top, part.left, part.height, part.width)
        encoding = given.encoding or pb.FLOW_ENCODING_FLOAT32
        if encoding not in ENCODINGS:
            names = ", ".join(f"{one} {pb.FlowEncoding.Name(one)}" for one in ENCODINGS)
            raise Fault("invalid_input", f"encoding is {encoding}: use one of {names}")
        return cls(
            given.model,
            region if given.HasField("region") else None,
            given.stride if given.HasField("stride") else 1,
            encoding,
        )

    def pair(self, frame1: Pixels, frame2: Pixels) -> FramePair:
        """The pipeline's input."""
        return FramePair(frame1, frame2, self.region, self.stride)

    def without_media(self) -> OpticalFlowInput:
        """What the pipeline can check before anything is decoded."""
        return OpticalFlowInput(b"", b"", self.region, self.stride)

    def answer_bytes(self, size: tuple[int, ...]) -> int:
        """About how long the answer is for frames of a size (height, width)."""
        high, wide = size if self.region is None else self.region[2:]
        return -(-high // self.stride) * -(-wide // self.stride) * 8

    async def render(self, outputs: Sequence[Flow], media: MediaPool) -> list[Parts]:
        """The fields as they were asked for, each a written pb.Flow."""
        return [await self._written(output.flow, media) for output in outputs]

    async def _written(self, flow: Field, media: MediaPool) -> Parts:
        write = WRITERS.get(self.encoding)
        if write is None:
            data = [await media.render("flow-png", {"flow": flow})]
        else:
            data = await asyncio.to_thread(write, flow)
        height, width, _ = flow.shape
        small = pb.Flow(height=height, width=width, encoding=self.encoding)
        return [small.SerializeToString(), *as_field(pb.Flow, "data", data)]


@dataclass(frozen=True)
class Pair(Undecoded):
    """Two images, each a file or pixels."""

    images: pb.FramePair
    asked: Options
    max_pixels: int

    @property
    def options(self) -> OpticalFlowInput:
        return self.asked.without_media()

    @asynccontextmanager
    async def decoded(
        self, _: Pipeline[Any, Any], media: MediaPool
    ) -> AsyncGenerator[FramePair, None]:
        images = self.images.frame1, self.images.frame2
        async with turn(media, any(image.HasField("file") for image in images)):
            frames = [await pixels_of(image, media, self.max_pixels) for image in images]
            yield self.asked.pair(*frames)


def turn(media: MediaPool, decoding: bool) -> AbstractAsyncContextManager[None]:
    """To hold what files decode to; pixels that were sent as such need none."""
    return media.turns if decoding else nullcontext()
