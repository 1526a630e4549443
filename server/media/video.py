"""A video file to what a multimodal model watches and hears."""

from __future__ import annotations

import math

import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

from perceiver_core.errors import InvalidInput
from perceiver_core.pipelines.multimodal_autoencoding import Format
from server.media.demux import NO_FRAME, decoded, ours
from server.media.fit import Fitter
from server.media.limits import STEP_S, Limits
from server.media.sound import Sound

JITTER = 0.1  # of a frame: time stamps are rounded
LONGEST_LAST_S = 1.0  # that the last frame is shown


def read_video(
    data: bytes, wanted: Format, limits: Limits
) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
    """RGB uint8 (n, height, width, 3) at the wanted frame rate, and the first channel of the sound
    from the first frame on, float32 (S,) in [-1, 1] at the wanted sample rate; None without sound.

    Raises InvalidInput, with the code unsupported_media_type or too_large where that is why.
    """
    pictures, sound = Pictures(wanted), Sound(wanted.sample_rate)
    with ours():
        for time, frame in decoded(data, limits):
            if isinstance(frame, VideoFrame):
                pictures.add(time, frame)
            else:
                sound.add(time, frame)
        frames = pictures.end()
        return frames, sound.end(pictures.began)


class Pictures:
    """Frames at any times in; out what is shown at even times, each the last that has begun.

    The first frame begins the video, the last one lasts as long as the one before it.
    """

    def __init__(self, wanted: Format) -> None:
        size = (wanted.height, wanted.width)
        self._fit = {False: Fitter(size), True: Fitter(size[::-1])}  # by: lies on its side
        self._rate = wanted.frame_rate
        self._shown: list[NDArray[np.uint8]] = []
        self._frame: VideoFrame | None = None  # the last one that came
        self._time = 0.0  # of it
        self._step = STEP_S
        self.began = 0.0

    def add(self, time: float, frame: VideoFrame) -> None:
        """The next frame, which begins at `time` seconds."""
        if self._frame is None:
            self.began = time
        else:
            self._show_until(time)
            self._step = time - self._time
        self._frame, self._time = frame, time

    def end(self) -> NDArray[np.uint8]:
        """All frames (n, height, width, 3)."""
        if self._frame is None:
            raise InvalidInput(NO_FRAME)
        self._show_until(self._time + min(max(self._step, STEP_S), LONGEST_LAST_S))
        return np.stack(self._shown)

    def _show_until(self, time: float) -> None:
        assert self._frame is not None
        missing = math.ceil((time - self.began) * self._rate - JITTER) - len(self._shown)
        if missing > 0:
            self._shown += [self._upright(self._frame)] * missing

    def _upright(self, frame: VideoFrame) -> NDArray[np.uint8]:
        turns = round(frame.rotation / 90) % 4  # anticlockwise
        return np.rot90(self._fit[turns % 2 == 1](frame), turns)
