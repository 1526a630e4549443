"""Small video files for tests, made as they are needed, and what can be done to their bytes."""

import io
import re
import struct
from fractions import Fraction
from typing import Any

import av
import numpy as np

RATE = 8_000  # of the sound


def clip(
    kind: str = "mp4",
    codec: str = "mpeg4",
    *,
    frames: Any = 10,
    size: tuple[int, int] = (32, 48),
    times: Any = None,
    rate: int = 25,
    sound: Any = None,
    sound_codec: str = "pcm_s16le",
    layout: str = "mono",
    sound_rate: int = RATE,
    sound_at: int = 0,
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
) -> bytes:
    """A video: `frames` uint8 (n, h, w, 3), or how many of a size; `times` in 1/`rate` seconds;
    `sound` (channels, S) int16 or float32 from sample `sound_at` on, None for none."""
    out = io.BytesIO()
    if isinstance(frames, int):
        frames = grey(frames, size)
    with av.open(out, "w", format=kind, options=options or {}) as file:
        picture: Any = file.add_stream(codec, rate=rate, options={"threads": "1", "qscale": "2"})
        picture.height, picture.width = frames.shape[1:3]
        picture.pix_fmt = pixels
        heard: Any = None
        if sound is not None:
            heard = file.add_stream(sound_codec, sound_rate, options={"threads": "1"})
            heard.layout = layout
        for time, array in zip(times or range(len(frames)), frames, strict=True):
            frame = av.VideoFrame.from_ndarray(array)
            frame.pts, frame.time_base = time, Fraction(1, rate)
            file.mux(picture.encode(frame))
        file.mux(picture.encode(None))
        if sound is not None and sound.size:
            packed = np.ascontiguousarray(sound.T).reshape(1, -1)
            kind = "flt" if sound.dtype == np.float32 else "s16"
            part = av.AudioFrame.from_ndarray(packed, kind, layout)
            part.sample_rate, part.time_base = sound_rate, Fraction(1, sound_rate)
            part.pts = sound_at
            file.mux(heard.encode(part))
            file.mux(heard.encode(None))
    return out.getvalue()


def grey(count: int, size: tuple[int, int] = (32, 48)) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Frames (count, h, w, 3) from black to white."""
    shades = np.linspace(0, 255, count).astype(np.uint8)
    return np.broadcast_to(shades[:, None, None, None], (count, *size, 3)).copy()


def tone(seconds: float, channels: int = 1, rate: int = RATE) -> np.ndarray[Any, Any]:
    """int16 (channels, S): the first sounds, the others are silent."""
    samples = np.zeros((channels, round(seconds * rate)), np.int16)
    samples[0] = 16_000 * np.sin(np.arange(samples.shape[1]) * (2 * np.pi * 200 / rate))
    return samples


def heard(samples: Any, rate: int = RATE) -> av.AudioFrame:
    """Samples int16 (1, S) as libav has them, without a time."""
    frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
    frame.sample_rate = rate
    return frame


def box(kind: bytes, body: bytes = b"") -> bytes:
    """An MP4 box."""
    return struct.pack(">I4s", 8 + len(body), kind) + body


def patched(data: bytes, after: bytes, offset: int, value: bytes) -> bytes:
    """`data` with other bytes at `offset` behind the first `after`."""
    at = data.index(after) + len(after) + offset
    return data[:at] + value + data[at + len(value) :]


def spliced(first: bytes, second: bytes, step: int = 40) -> bytes:
    """The pictures of two files of one codec as one Matroska file, `step` milliseconds each."""
    out = io.BytesIO()
    with (
        av.open(io.BytesIO(first), "r") as one,
        av.open(io.BytesIO(second), "r") as two,
        av.open(out, "w", format="matroska") as file,
    ):
        track: Any = file.add_stream_from_template(one.streams.video[0])
        packets = [p for part in (one, two) for p in part.demux(video=0) if p.size]
        for index, packet in enumerate(packets):
            packet.stream = track
            packet.time_base = Fraction(1, 1000)
            packet.pts = packet.dts = index * step
            file.mux(packet)
    return out.getvalue()


def within(data: bytes, path: tuple[bytes, ...], change: Any) -> bytes:
    """An MP4 file with the box at `path` (b"moov", b"trak", ...) as `change` makes it of its body.

    The first of each kind is followed; what comes behind must not be pointed to by offsets.
    """
    at = data.index(path[0]) - 4
    length = int.from_bytes(data[at : at + 4])
    body = data[at + 8 : at + length]
    body = within(body, path[1:], change) if path[1:] else change(body)
    return data[:at] + box(path[0], body) + data[at + length :]


def index_first(data: bytes) -> bytes:
    """An MP4 file with its index at the end, as it is on the web: the index in front."""
    at = data.index(b"mdat") - 4
    end = data.index(b"moov") - 4
    index = bytearray(data[end:])
    for table in re.finditer(b"stco", index):
        count = int.from_bytes(index[table.end() + 4 : table.end() + 8])
        places = np.frombuffer(bytes(index), ">u4", count, table.end() + 8)
        moved = (places + len(index)).astype(">u4").tobytes()
        index[table.end() + 8 : table.end() + 8 + 4 * count] = moved
    return data[:at] + bytes(index) + data[at:end]
