"""Video files that nobody should send, and what is said to them."""

import struct
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from tests.server.clips import box, clip, grey, patched, tone, within

SECRET = "/etc/hostname"
URL = "http://127.0.0.1:9/secret"


@cache
def mov() -> bytes:
    """A good file of 10 frames and 0.4 s of sound, its index at the end."""
    return clip("mov", sound=tone(0.4))


def _u32(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def _tracks(count: int) -> bytes:
    """`mov` with its first track `count` times."""

    def again(moov: bytes) -> bytes:
        at = moov.index(b"trak") - 4
        track = moov[at : at + int.from_bytes(moov[at : at + 4])]
        return moov[:at] + track * count + moov[at + len(track) :]

    return within(mov(), (b"moov",), again)


def _points_to(path: str) -> bytes:
    """`mov` whose pictures are in another file: an alias record, as QuickTime writes it."""
    name = path.encode()
    name += b"\0" * (len(name) % 2)
    alias = bytes(4 + 130) + _u32(0x00010001) + bytes(16)
    alias += struct.pack(">HH", 2, len(name)) + name + struct.pack(">hH", -1, 0)
    entry = box(b"alis", alias)
    path_to = (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref")
    return within(mov(), path_to, lambda _: _u32(0, 1) + entry)


def _silence(**options: Any) -> bytes:
    """An hour of silence beside ten frames."""
    long: dict[str, Any] = {"sound": np.zeros((1, 3600 * 1000), np.int16), "sound_rate": 1000}
    return clip("matroska", **(long | options))


def _not_a_number(value: float) -> bytes:
    return clip("mov", sound=np.full((1, 3200), value, np.float32), sound_codec="pcm_f32le")


def _sixteen_k() -> bytes:
    raw = clip("avi", "rawvideo", frames=1)
    return patched(raw, b"strf", 8, struct.pack("<II", 15_360, 8640))


def _jpeg_of_16_k() -> bytes:
    """A Motion JPEG whose header says 32 x 48 and whose frames say 16,000 x 16,000."""
    data = clip("avi", "mjpeg", pixels="yuvj420p")
    size = struct.pack(">HH", 32, 48)
    return data.replace(b"\x08" + size, b"\x08" + struct.pack(">HH", 16_000, 16_000))


HLS = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{SECRET}\n#EXTINF:1,\n{URL}\n"
DASH = f'<?xml version="1.0"?><MPD><BaseURL>{URL}</BaseURL></MPD>'
LIVE = {"live": "1"}  # Matroska that does not tell how long it is
HOUR = np.zeros((1, 3600), np.int16)
HEAD = box(b"ftyp", b"qt  \0\0\0\0qt  ")
LARGE, DAMAGED, OTHER = "too_large", "invalid_input", "unsupported_media_type"

REFUSED: dict[str, tuple[Callable[[], bytes], str, str]] = {
    # playlists, and what is no video
    "nothing": (lambda: b"", OTHER, "MP4, WebM, AVI"),
    "an HLS playlist": (HLS.encode, OTHER, "an HLS playlist"),
    "a list of files": (f"ffconcat version 1.0\nfile {SECRET}".encode, OTHER, "a list of files"),
    "a bare list": (f"file '{SECRET}'\n".encode, OTHER, "convert it"),
    "a DASH playlist": (DASH.encode, OTHER, "an XML document"),
    "an SDP": (lambda: b"v=0\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n", OTHER, "convert it"),
    "an address": (URL.encode, OTHER, "convert it"),
    "a path": (SECRET.encode, OTHER, "convert it"),
    "a pattern of files": (lambda: b"/tmp/%03d.png", OTHER, "convert it"),
    "a WAV that lies": (
        lambda: b"RIFF\xff\xff\xff\xffWAVEfmt " + bytes(20) + b"data\xff\xff\xff\xff",
        OTHER,
        "looks like a WAV",
    ),
    "an image": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(40), OTHER, r"an image \(PNG\)"),
    "a playlist behind an MP4's head": (
        lambda: HEAD + HLS.encode(), DAMAGED, "damaged"
    ),
    "a playlist behind a Matroska's head": (
        lambda: b"\x1a\x45\xdf\xa3" + HLS.encode(), DAMAGED, "damaged"
    ),
    "a track in another file": (lambda: _points_to(SECRET), DAMAGED, "damaged"),
    # what is not whole
    "no index": (lambda: mov()[: mov().index(b"moov") - 4], DAMAGED, "damaged"),
    "half a file": (lambda: mov()[: len(mov()) // 2], DAMAGED, "damaged"),
    "a head alone": (lambda: HEAD, DAMAGED, "damaged"),
    "no frames": (lambda: clip("mov", frames=grey(0), sound=tone(0.4)), DAMAGED, "no picture"),
    "a time scale of 0": (lambda: patched(mov(), b"mdhd", 12, _u32(0)), DAMAGED, "no frame"),
    # numbers
    "a day": (lambda: clip("mov", frames=2, times=[0, 25 * 10**5]), LARGE, r"lasts 100000\.0 s"),
    "31 years that nobody announced": (
        lambda: clip("matroska", frames=2, times=[0, 25 * 10**9], options=LIVE),
        LARGE,
        r"lasts 1000000000\.0 s",
    ),
    "a million frames a second": (
        lambda: clip("matroska", frames=2001, size=(16, 16), rate=65_000), LARGE, "has 2001 frames"
    ),
    "16K in the header": (_sixteen_k, LARGE, "15360×8640 = 132710400 pixels, the limit is 2"),
    "16K in the frames": (_jpeg_of_16_k, DAMAGED, "damaged"),
    "100 tracks": (lambda: _tracks(100), LARGE, "has 101 tracks, the limit is 64"),
    "a hundred thousand tracks": (
        lambda: HEAD + box(b"moov", box(b"trak") * 100_000), LARGE, "too many tracks"
    ),
    "an hour of silence": (_silence, LARGE, "lasts 3600"),
    "an hour of silence that nobody announced": (
        lambda: _silence(options=LIVE), LARGE, "the limit is 60"
    ),
    "one sample a second": (
        lambda: _silence(sound=HOUR, sound_rate=1, options=LIVE), LARGE, "the limit is 60"
    ),
    "a million samples a second": (
        lambda: clip("avi", sound=tone(0.4), sound_rate=10**6), DAMAGED, "1000000 samples a second"
    ),
    "sound that is NaN": (lambda: _not_a_number(np.nan), DAMAGED, "not numbers"),
    "sound that is infinite": (lambda: _not_a_number(-np.inf), DAMAGED, "not numbers"),
    "another coding": (
        lambda: clip("avi", "huffyuv", pixels="yuv422p"), OTHER, "coded as huffyuv"
    ),
}  # fmt: skip

# What looks hostile and has an answer: how many frames it has.
ANSWERED: dict[str, tuple[Callable[[], bytes], int]] = {
    "one pixel": (lambda: clip("avi", "rawvideo", frames=grey(3, (1, 1))), 3),
    "a strip": (lambda: clip("avi", "rawvideo", frames=grey(3, (5000, 2))), 3),
    "thirty frames in half a millisecond": (
        lambda: clip("matroska", frames=30, size=(16, 16), rate=65_000), 1
    ),
    "a size that is not the frames'": (
        lambda: patched(mov(), b"mp4v", 24, struct.pack(">HH", 16_384, 16_384)), 10
    ),
    "a long life in the header": (lambda: patched(mov(), b"mvhd", 16, _u32(2**31 - 1)), 10),
    "two frames, 50 s apart": (lambda: clip("mov", frames=2, times=[0, 1250]), 1275),
}  # fmt: skip
