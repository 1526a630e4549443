"""Image and video files to frames, and frames to a video file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import click
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

Frame = NDArray[np.uint8]  # RGB (height, width, 3)

QUALITY = {"crf": "18", "preset": "veryfast"}  # of H.264; 18 looks lossless
SOUND = {"b": "192k"}  # of AAC
SOUND_RATE = 48_000  # AAC knows few rates
USUAL_RATE = Fraction(25)  # of a video that tells none


def image(path: Path, longest: int | None) -> Frame:
    """An upright picture, its longer side at most `longest` pixels."""
    try:
        with Image.open(path) as file:
            found = ImageOps.exif_transpose(file).convert("RGB")
    except UnidentifiedImageError:
        raise click.ClickException(f"{path}: no image") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the file, not of what is in it
        raise click.ClickException(f"{path}: {error}") from None
    if longest is not None:
        found.thumbnail((longest, longest))
    return np.asarray(found)


@dataclass(frozen=True)
class Video:
    """A file with a video in it.  `count`: of its frames, None where it tells none."""

    path: Path
    rate: Fraction
    count: int | None

    @classmethod
    def of(cls, path: Path) -> Video:
        with _opened(path) as file:
            stream = file.streams.video[0]
            rate = stream.average_rate or USUAL_RATE
            count = stream.frames
            if not count and file.duration:
                count = int(rate * file.duration / av.time_base)
            return cls(path, rate, count or None)

    def frames(self, longest: int | None) -> Iterator[Frame]:
        """Its frames, upright, the longer side at most `longest` pixels."""
        with _opened(self.path) as file:
            file.streams.video[0].thread_type = "AUTO"
            for frame in file.decode(video=0):
                shrink = min(1.0, (longest or frame.width) / max(frame.width, frame.height))
                width, height = (
                    max(1, round(side * shrink)) for side in (frame.width, frame.height)
                )
                pixels = frame.to_ndarray(
                    format="rgb24", width=width, height=height, interpolation="AREA"
                )
                yield np.rot90(pixels, round(frame.rotation / 90))


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    """The file; a message to a person where it is no video or ends badly."""
    try:
        with path.open("rb") as data, av.open(data, "r") as file:  # by name: maybe a URL
            if not file.streams.video:
                raise click.ClickException(f"{path}: there is no video in it")
            yield file
    except av.InvalidDataError:
        raise click.ClickException(f"{path}: no video, or damaged, or ends too early") from None
    except av.FFmpegError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from None


class VideoWriter:
    """Frames of one size, and mono sound if there is any, to an MP4 file: H.264, AAC."""

    def __init__(self, file: BinaryIO, rate: Fraction, *, sound: bool = False) -> None:
        self._container = av.open(file, "w", format="mp4")
        self._stream: Any = self._container.add_stream("libx264", rate=rate, options=QUALITY)
        self._stream.pix_fmt = "yuv420p"
        self._empty = True
        self._sound: Any = None
        if sound:
            self._sound = self._container.add_stream("aac", SOUND_RATE, SOUND, layout="mono")
        self._heard = 0  # samples

    def write(self, frame: Frame) -> None:
        """H.264 halves the resolution of colours: an odd side becomes one longer."""
        odd = [(0, side % 2) for side in frame.shape[:2]]
        even = np.pad(frame, [*odd, (0, 0)], "edge")
        if self._empty:
            self._stream.height, self._stream.width = even.shape[:2]
            self._empty = False
        self._container.mux(self._stream.encode(av.VideoFrame.from_ndarray(even)))

    def write_sound(self, samples: NDArray[np.float32], rate: int) -> None:
        """The next samples (n,) in [-1, 1], `rate` a second: the same for all of them."""
        part = av.AudioFrame.from_ndarray(samples[None], "flt", "mono")
        part.sample_rate, part.time_base, part.pts = rate, Fraction(1, rate), self._heard
        self._heard += len(samples)
        self._container.mux(self._sound.encode(part))

    def close(self) -> None:
        if not self._empty:
            self._container.mux(self._stream.encode(None))
            if self._sound is not None:
                self._container.mux(self._sound.encode(None))
        self._container.close()
