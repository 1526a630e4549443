"""Frames, chunks and video files for tests: small, and different from each other."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from perceiver_client import Chunk
from PIL import Image

Frame = NDArray[np.uint8]


def noise(seed: int, size: tuple[int, int] = (20, 30)) -> Frame:
    """A picture of noise, larger than a tile of the tiny model."""
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def noises(count: int, size: tuple[int, int] = (20, 30)) -> list[Frame]:
    return [noise(seed, size) for seed in range(count)]


def endless() -> Iterator[Frame]:
    """Frames for as long as somebody wants them."""
    frame = noise(0)
    while True:
        yield frame


def slopes() -> list[Frame]:
    """Four pictures whose flows, as the tiny model has them, are far from each other."""
    y, x = np.mgrid[:20, :30].astype(np.uint8)
    right, down, none = 8 * x, 12 * y, 0 * x
    channels = (
        (right, down, none),
        (255 - right, none, down),
        (none, 255 - down, right),
        (none + 255,) * 3,
    )
    return [np.stack(one, axis=-1) for one in channels]


def png(frame: Frame) -> bytes:
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "PNG")
    return file.getvalue()


def chunk(seed: int) -> Chunk:
    """In the format of the tiny model."""
    random = np.random.default_rng(seed)
    frames = random.integers(0, 256, (2, 16, 16, 3), np.uint8)
    return Chunk(frames, random.uniform(-1, 1, 640).astype(np.float32))


def video(path: Path, frames: Sequence[Frame], rate: int = 25) -> Path:
    """An MP4 file of the frames, without sound and nearly without loss."""
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("libx264", rate=rate, options={"qp": "1"})
        stream.pix_fmt = "yuv444p"
        stream.height, stream.width = frames[0].shape[:2]
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        file.mux(stream.encode(None))
    return path


def frames_of(path: Path) -> list[Frame]:
    with av.open(str(path)) as file:
        found = (frame.to_ndarray(format="rgb24") for frame in file.decode(video=0))
        return [frame.astype(np.uint8, copy=False) for frame in found]
