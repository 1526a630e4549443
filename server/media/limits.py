"""What one file may cost: every number that a stranger's file gives is checked here.

A header is checked before anything is decoded, because that is cheap; but headers lie, so every
frame that comes out of a decoder passes `Meter.pass_on` as well, before anything is made of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from av import AudioFrame, VideoFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from perceiver_core.errors import InvalidInput

MAX_TRACKS = 64
MAX_SAMPLE_RATE = 384_000
STEP_S = 0.04  # to the next frame, where a file does not say it
SLACK_S = 1.0  # sound often ends a little after the last frame


class TooLarge(InvalidInput):
    """More than we decode."""

    code = "too_large"


@dataclass(frozen=True)
class Limits:
    """Of one image or video."""

    pixels: int  # of a frame
    seconds: float
    frames: int
    rows: int  # that are made of it

    def check_size(self, what: str, width: int, height: int) -> None:
        """Raises for a picture without pixels, or with too many."""
        if width < 1 or height < 1:
            raise InvalidInput(f"{what} is {width}×{height} pixels: it must have at least one")
        if width * height > self.pixels:
            raise TooLarge(
                f"{what} is {width}×{height} = {width * height} pixels, the limit is {self.pixels}:"
                " send a smaller one"
            )

    def check_rows(self, rows: int) -> None:
        """Raises for what no queue would take."""
        if rows > self.rows:
            raise TooLarge(
                f"this makes {rows} rows, the limit is {self.rows}: send a smaller image, or a "
                "shorter video"
            )

    def check_seconds(self, seconds: float) -> None:
        """Raises for a video that lasts too long."""
        if not seconds <= self.seconds + SLACK_S:
            raise TooLarge(
                f"the video lasts {seconds:.1f} s or more, the limit is {self.seconds:g} s: send "
                "a part of it"
            )

    def check_frames(self, frames: int) -> None:
        """Raises for a video of too many frames."""
        if frames > self.frames:
            raise TooLarge(
                f"the video has {frames} frames or more, the limit is {self.frames}: send a part "
                "of it"
            )

    def check_sample_rate(self, rate: int) -> None:
        """Raises for a sample rate that no recording has."""
        if not 1 <= rate <= MAX_SAMPLE_RATE:
            raise InvalidInput(
                f"the sound has {rate} samples a second: 1 to {MAX_SAMPLE_RATE} are read"
            )

    def check_header(self, file: InputContainer, tracks: list[VideoStream | AudioStream]) -> None:
        """Raises where a file itself says that it is too much; what it does not say is 0."""
        if len(file.streams) > MAX_TRACKS:
            raise TooLarge(f"the file has {len(file.streams)} tracks, the limit is {MAX_TRACKS}")
        if file.duration is not None:
            self.check_seconds(file.duration / 1_000_000)
        for track in tracks:
            if track.duration is not None and track.time_base is not None:
                self.check_seconds(float(track.duration * track.time_base))
            if isinstance(track, VideoStream):
                if track.width and track.height:
                    self.check_size("the video", track.width, track.height)
                self.check_frames(track.frames)
            elif track.sample_rate:
                self.check_sample_rate(track.sample_rate)


class Meter:
    """The one place that every decoded frame of a file passes."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._began: float | None = None
        self._next = {VideoFrame: 0.0, AudioFrame: 0.0}  # where a frame is that does not say it
        self._frames = 0
        self._heard = 0.0  # seconds, whatever the time stamps say

    def pass_on(self, frame: VideoFrame | AudioFrame) -> float:
        """The time of a frame in seconds; raises where it is over the limits."""
        time = self._next[type(frame)] if frame.time is None else frame.time
        if isinstance(frame, VideoFrame):
            lasts = STEP_S
            self._frames += 1
            self._limits.check_frames(self._frames)
            self._limits.check_size("a frame of the video", frame.width, frame.height)
        else:
            self._limits.check_sample_rate(frame.sample_rate)
            lasts = frame.samples / frame.sample_rate
            self._heard += lasts
            self._limits.check_seconds(self._heard)
        self._began = time if self._began is None else self._began
        self._limits.check_seconds(abs(time - self._began))
        self._next[type(frame)] = time + lasts
        return time
