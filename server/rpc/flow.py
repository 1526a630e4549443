"""Optical flow in gRPC's words: options, pairs of frames, fields."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
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
from server.rpc.images import Pixels, check_options, pixels_of
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

    async def decoded(self, _: Pipeline[Any, Any], media: MediaPool) -> FramePair:
        frame1 = await pixels_of(self.images.frame1, media, self.max_pixels)
        frame2 = await pixels_of(self.images.frame2, media, self.max_pixels)
        return self.asked.pair(frame1, frame2)


class Frames:
    """A stream of frames, each of which makes a pair with the one before it."""

    def __init__(self, asked: Options, media: MediaPool, max_pixels: int) -> None:
        self._asked = asked
        self._media = media
        self._max_pixels = max_pixels
        self._last: Pixels | None = None

    async def next(self, number: int, message: pb.FlowFrame) -> FramePair | None:
        """The pair that a frame completes, None of the first one; its Fault, after which the next
        frame begins anew."""
        last, self._last = self._last, None
        check_options(number, message)
        frame = await pixels_of(message.frame, self._media, self._max_pixels)
        if last is not None and frame.shape != last.shape:
            raise Fault(
                "invalid_input",
                f"the frame is {_size(frame)}, the one before it {_size(last)}: both must have "
                "one size; the next frame begins a new pair",
            )
        self._last = frame
        if last is not None:
            return self._asked.pair(last, frame)
        if number:
            raise Fault(
                "pair_broken",
                "the frame before this one was refused, so this one has no partner: it begins a "
                "new pair with the next one",
            )
        return None


def _size(frame: Pixels) -> str:
    return f"{frame.shape[0]}×{frame.shape[1]}"
