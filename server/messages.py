"""What the server and its children say to each other: typed, one tag each (frames.py carries it).

Every call gets exactly one reply.  Arrays ride beside a message as rows (frames.Row).
"""

from __future__ import annotations

from typing import Literal

import msgspec

MAX_MEDIA_BYTES = 256 * 1024 * 1024  # of one frame to or from a media child
TOO_MUCH = "this takes too much memory: send a smaller image, or a shorter video"


class WorkerOptions(msgspec.Struct, frozen=True):
    """How a worker is to run; the last argument of its command line, as JSON."""

    device: str
    dtype: str
    numerics: str
    threads: int
    fault_plan: str | None


class WorkerReady(msgspec.Struct, frozen=True, tag="worker_ready"):
    """A worker's first words: what it settled on.  Failed instead: it can never work like this."""

    device: str
    dtype: str
    numerics: str


class Load(msgspec.Struct, frozen=True, tag="load"):
    """Load the model of a folder under a name.  Answer: Loaded or Failed."""

    model: str
    folder: str


class Loaded(msgspec.Struct, frozen=True, tag="loaded"):
    """The bytes that the model's tensors occupy on the device."""

    bytes: int


class Unload(msgspec.Struct, frozen=True, tag="unload"):
    """Forget a model.  Answer: Unloaded."""

    model: str


class Unloaded(msgspec.Struct, frozen=True, tag="unloaded"):
    """The model's memory is free."""


class Run(msgspec.Struct, frozen=True, tag="run"):
    """Run a model on the rows beside this message.  Answer: Ran or Failed."""

    model: str


class RowError(msgspec.Struct, frozen=True):
    """Why one row has no output."""

    code: str
    message: str


class Ran(msgspec.Struct, frozen=True, tag="ran"):
    """One output row per input row beside this message; empty ones where there is an error."""

    errors: list[RowError | None]


class MediaOptions(msgspec.Struct, frozen=True):
    """The limits of a media child; the last argument of its command line, as JSON."""

    max_pixels: int
    max_seconds: float
    max_frames: int
    max_rows: int
    memory_bytes: int
    time_limit_s: float


class MediaReady(msgspec.Struct, frozen=True, tag="media_ready"):
    """A media child's first words."""


class Preprocess(msgspec.Struct, frozen=True, tag="preprocess"):
    """Preprocess one item with the pipeline of a folder.  Answer: its rows, or Failed.

    The item is beside this message as rows = [{"item": uint8 (bytes,)}], the msgpack of the
    pipeline's input dataclass.
    """

    folder: str


class Decode(msgspec.Struct, frozen=True, tag="decode"):
    """Decode the image [{"file": uint8 (bytes,)}], fitted to (height, width) if given.

    Answer: [{"pixels": uint8 (H, W, 3)}], or Failed.
    """

    fit: tuple[int, int] | None


class RenderFlow(msgspec.Struct, frozen=True, tag="flow-png"):
    """Draw [{"flow": float32 (h, w, 2)}], full colour for `longest` pixels; None for its own.

    Answer: [{"file": uint8 (bytes,)}], or Failed.
    """

    longest: float | None = None


class RenderVideo(msgspec.Struct, frozen=True, tag="mp4"):
    """Write [{"frames": uint8 (n, h, w, 3), "audio": float32 (S,)}], `audio` may be missing.

    Answer: [{"file": uint8 (bytes,)}], or Failed.
    """

    frame_rate: int = 25
    sample_rate: int = 48_000


class MediaDone(msgspec.Struct, frozen=True, tag="media_done"):
    """What was asked for is beside this message."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The call failed as a whole: a code of errors.KINDS and a sentence for callers."""

    code: Literal[
        "invalid_input",
        "unsupported_media_type",
        "too_large",
        "load_failed",
        "out_of_memory",
        "internal",
    ]
    message: str


WorkerCall = Load | Unload | Run
WorkerReply = WorkerReady | Loaded | Unloaded | Ran | Failed
MediaCall = Preprocess | Decode | RenderFlow | RenderVideo
MediaReply = MediaReady | MediaDone | Failed
