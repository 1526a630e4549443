"""Pictures and chunks as callers give them, and as the transports carry them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perceiver_client import perceiver_pb2 as pb
from perceiver_client.errors import PerceiverError

# An image file or its bytes (JPEG, PNG, WebP), or pixels: RGB uint8 (height, width, 3).
Frame = bytes | Path | NDArray[np.uint8]
Read = bytes | NDArray[np.uint8]

PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, eq=False)
class Chunk:
    """What a model watches and hears at once, as its `Format` says.  frames: image files of any
    size, or pixels of the model's size: a sequence, or one uint8 array (n, height, width, 3);
    audio: floats (samples,) in [-1, 1], None for silence."""

    frames: Sequence[Frame] | NDArray[np.uint8]
    audio: NDArray[np.floating[Any]] | None = None


def read_frame(frame: Any, name: str = "a frame") -> Read:
    """The bytes of a Frame's file, or its pixels; TypeError for what is no Frame."""
    found: Any = frame.read_bytes() if isinstance(frame, Path) else frame
    if isinstance(found, np.ndarray):
        if found.dtype != np.uint8 or found.ndim != 3 or found.shape[2] != 3:
            shown = f"{found.dtype} {found.shape}"
            raise TypeError(f"{name} must be RGB uint8 (height, width, 3), but is {shown}")
    elif not isinstance(found, bytes):
        kinds = "bytes, pathlib.Path or a uint8 array"
        raise TypeError(f"{name} must be {kinds}, but is {short(found)}")
    if not len(found):
        raise PerceiverError("invalid_input", f"{name} is empty, no image")
    read: Read = found
    return read


def image_message(frame: Read) -> pb.Image:
    if isinstance(frame, bytes):
        return pb.Image(file=frame)
    height, width, _ = frame.shape
    return pb.Image(raw=pb.RawImage(height=height, width=width, rgb=frame.tobytes()))


def image_file(frame: Read) -> bytes:
    """The file itself, or pixels as a PNG file: REST takes nothing else."""
    return frame if isinstance(frame, bytes) else png(frame)


def chunk_message(chunk: Any) -> pb.Chunk:
    """TypeError for what is no Chunk, or holds what it must not; OSError where a file cannot be
    read."""
    if not isinstance(chunk, Chunk):
        raise TypeError(f"a chunk must be a perceiver_client.Chunk, but is {short(chunk)}")
    given: Any = chunk.frames
    if not isinstance(given, Iterable):
        kinds = "image files or pixels, a sequence or an array"
        raise TypeError(f"frames must be {kinds}, but is {short(given)}")
    frames = [read_frame(frame, f"frames[{index}]") for index, frame in enumerate(given)]
    samples = np.empty(0, np.float32) if chunk.audio is None else np.asarray(chunk.audio)
    if samples.ndim != 1 or not np.issubdtype(samples.dtype, np.floating):
        shown = f"{samples.dtype} {samples.shape}"
        raise TypeError(f"audio must be floats (samples,) in [-1, 1], but is {shown}")
    return pb.Chunk(
        frames=[image_message(frame) for frame in frames], audio=samples.astype("<f4").tobytes()
    )


def png(pixels: NDArray[np.uint8]) -> bytes:
    """RGB pixels as a PNG file."""
    height, width, _ = pixels.shape
    # Before each row the number of its filter: 0, none.
    rows = np.pad(pixels.reshape(height, width * 3), ((0, 0), (1, 0)))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, RGB, not interlaced
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows.tobytes(), 1)), (b"IEND", b""))
    return PNG + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
