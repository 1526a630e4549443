"""A stream of frames, and the pairs that they make."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from perceiver_core.pipelines.base import Pipeline
from perceiver_core.pipelines.optical_flow import FramePair, OpticalFlow, OpticalFlowInput
from protos.perceiver.v1 import perceiver_pb2 as pb
from server.engine import Engine
from server.errors import Fault
from server.media_pool import MediaPool
from server.rpc.flow import Options, turn
from server.rpc.images import Pixels, check_options, pixels_of
from server.work import Undecoded


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame as it was sent; what a file decodes to is kept only where streams have room for it,
    and else decoded once more."""

    image: pb.Image | None  # the file, None where pixels were sent
    size: tuple[int, ...]  # height, width
    pixels: Pixels | None

    @property
    def nbytes(self) -> int:
        """Of the pixels."""
        return 0 if self.pixels is None else self.pixels.nbytes

    @property
    def sent_bytes(self) -> int:
        """Of the message."""
        return self.nbytes if self.image is None else self.image.ByteSize()

    async def read(self, media: MediaPool, max_pixels: int) -> Pixels:
        """uint8 (height, width, 3)."""
        if self.pixels is not None:
            return self.pixels
        assert self.image is not None
        return await pixels_of(self.image, media, max_pixels)


class StreamPair(Undecoded):
    """Two frames of one size, which are let go as soon as they are decoded and cut to tiles: the
    answer may take long."""

    def __init__(self, frames: tuple[Frame, Frame], asked: Options, max_pixels: int) -> None:
        self._frames: tuple[Frame, ...] = frames
        self._size = frames[0].size
        self._asked = asked
        self._max_pixels = max_pixels
        self.weight = sum(frame.sent_bytes for frame in frames) + asked.answer_bytes(self._size)

    @property
    def options(self) -> OpticalFlowInput:
        return self._asked.without_media()

    def row_count(self, pipeline: Pipeline[Any, Any]) -> int:
        assert isinstance(pipeline, OpticalFlow)
        return pipeline.tile_count(self._size, self._asked.region, self._asked.stride)

    @asynccontextmanager
    async def decoded(
        self, _: Pipeline[Any, Any], media: MediaPool
    ) -> AsyncGenerator[FramePair, None]:
        frames, self._frames = self._frames, ()
        async with turn(media, any(frame.pixels is None for frame in frames)):
            pixels = [await frame.read(media, self._max_pixels) for frame in frames]
            yield self._asked.pair(*pixels)


class Frames:
    """A stream of frames, each of which makes a pair with the one before it."""

    def __init__(self, asked: Options, engine: Engine) -> None:
        self._asked = asked
        self._media = engine.media
        self._room = engine.room
        self._max_pixels = engine.settings.max_pixels
        self._last: Frame | None = None

    async def next(self, number: int, message: pb.FlowFrame) -> StreamPair | None:
        """The pair that a frame completes, None of the first one; its Fault, after which the next
        frame begins anew."""
        last, self._last = self._last, None
        check_options(number, message)
        frame = await self._frame(message.frame)
        if last is not None and frame.size != last.size:
            raise Fault(
                "invalid_input",
                f"the frame is {_shown(frame)}, the one before it {_shown(last)}: both must have "
                "one size; the next frame begins a new pair",
            )
        self._last = frame
        if last is not None:
            return StreamPair((last, frame), self._asked, self._max_pixels)
        if number:
            raise Fault(
                "pair_broken",
                "the frame before this one was refused, so this one has no partner: it begins a "
                "new pair with the next one",
            )
        return None

    async def _frame(self, image: pb.Image) -> Frame:
        is_file = image.HasField("file")
        async with turn(self._media, is_file):
            pixels = await pixels_of(image, self._media, self._max_pixels)
            kept = not is_file or self._room.has(pixels.nbytes)
            frame = Frame(image if is_file else None, pixels.shape[:2], pixels if kept else None)
            if is_file:
                self._room.add(frame)
        return frame


def _shown(frame: Frame) -> str:
    return f"{frame.size[0]}×{frame.size[1]}"
