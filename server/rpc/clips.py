"""Multimodal autoencoding in gRPC's words: options, chunks, clips."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from perceiver_core.pipelines.base import Pipeline
from perceiver_core.pipelines.multimodal_autoencoding import (
    Clip,
    Footage,
    Format,
    MultimodalAutoencodingInput,
    Reconstruction,
)
from protos.perceiver.v1 import perceiver_pb2 as pb
from server.engine import Engine
from server.errors import Fault
from server.media_pool import MediaPool
from server.rpc.images import check_options, pixels_of
from server.rpc.parts import Parts
from server.work import Undecoded

MODALITIES = {
    pb.MODALITY_LABEL: "label",
    pb.MODALITY_VIDEO: "video",
    pb.MODALITY_AUDIO: "audio",
}

FIELDS = 200  # of a chunk: five per frame, and there are some 16 of them


@dataclass(frozen=True)
class Options:
    """What is asked of every chunk."""

    model: str
    outputs: tuple[str, ...]
    top_k: int | None

    @classmethod
    def of(cls, given: pb.MultimodalOptions) -> Self:
        """A modality's number that we do not know goes on to the pipeline, which says so."""
        outputs = tuple(MODALITIES.get(one, str(one)) for one in dict.fromkeys(given.outputs))
        top_k = given.top_k if given.HasField("top_k") else None
        return cls(given.model, outputs or ("label",), top_k)

    def without_media(self) -> MultimodalAutoencodingInput:
        """What the pipeline can check before anything is decoded."""
        return MultimodalAutoencodingInput(b"", self.outputs, self.top_k)

    async def render(self, outputs: Sequence[Reconstruction], _: MediaPool) -> list[Parts]:
        """The clips, one of each chunk, each a written pb.Clip."""

        def write() -> list[Parts]:
            return [[_clip(output.clips[0]).SerializeToString()] for output in outputs]

        return await asyncio.to_thread(write)


@dataclass(frozen=True)
class Chunk(Undecoded):
    """The frames and the sound of one clip."""

    chunk: pb.Chunk
    asked: Options
    max_pixels: int

    @property
    def options(self) -> MultimodalAutoencodingInput:
        return self.asked.without_media()

    @asynccontextmanager
    async def decoded(
        self, pipeline: Pipeline[Any, Any], media: MediaPool
    ) -> AsyncGenerator[Footage, None]:
        clip: Format = pipeline.format  # type: ignore[attr-defined]  # of this task only
        images = self.chunk.frames
        if len(images) > clip.frames:
            raise Fault(
                "invalid_input",
                f"the chunk has {len(images)} frames, the model's have {clip.frames}: send the "
                "others in the next one",
            )
        audio = _samples(self.chunk.audio, clip)
        size = (clip.height, clip.width)
        frames = np.empty((len(images), *size, 3), np.uint8)
        for number, image in enumerate(images):
            frames[number] = await pixels_of(image, media, self.max_pixels, size)
        yield Footage(frames, audio, self.asked.outputs, self.asked.top_k)


class Chunks:
    """A stream of chunks."""

    def __init__(self, asked: Options, engine: Engine) -> None:
        self._asked = asked
        self._max_pixels = engine.settings.max_pixels

    async def next(self, number: int, message: pb.MediaChunk) -> Chunk:
        """The chunk of a message, or its Fault."""
        check_options(number, message)
        return Chunk(message.chunk, self._asked, self._max_pixels)


def _samples(audio: bytes, clip: Format) -> Any:
    """float32 (S,), None of silence."""
    if len(audio) % 4 or len(audio) > 4 * clip.samples:
        raise Fault(
            "invalid_input",
            f"the chunk's audio has {len(audio)} bytes: send up to {clip.samples} samples of "
            "float32, 4 bytes each",
        )
    return np.frombuffer(audio, "<f4") if audio else None


def _clip(clip: Clip) -> pb.Clip:
    found = pb.Clip(labels=[pb.Label(**vars(label)) for label in clip.labels or ()])
    if clip.video is not None:
        count, height, width, _ = clip.video.shape
        rgb = clip.video.tobytes()
        found.video.MergeFrom(pb.Video(frames=count, height=height, width=width, rgb=rgb))
    if clip.audio is not None:
        found.audio = clip.audio.astype("<f4").tobytes()
    return found
