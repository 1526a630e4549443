"""Decoded sound of any kind to one channel at one rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from av import AudioFrame, AudioResampler
from numpy.typing import NDArray

from perceiver_core.errors import InvalidInput

SILENCE = np.zeros(0, np.float32)
GAP_S = 0.1  # time stamps jitter; a longer gap is meant


class Sound:
    """Audio frames in, samples (float32) of the first channel out, each where its time says.

    Frames that follow on each other and are alike make a run, which is resampled as one.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._runs: list[tuple[float, list[NDArray[np.float32]]]] = []
        self._like: Any = None
        self._next = 0.0
        self._resampler = AudioResampler()

    def add(self, time: float, frame: AudioFrame) -> None:
        """The next frame, which begins at `time` seconds."""
        like = (frame.format.name, frame.layout.name, frame.sample_rate)
        if like != self._like or abs(time - self._next) > GAP_S:
            self._flush()
            self._resampler = AudioResampler(format="flt", rate=self._rate)
            self._runs.append((time, []))
            self._like = like
        self._next = time + frame.samples / frame.sample_rate
        self._resample(frame)

    def end(self, began: float) -> NDArray[np.float32] | None:
        """All samples from `began` seconds on, (S,) in [-1, 1]; None where there were none."""
        self._flush()
        runs = [
            (round((time - began) * self._rate), np.concatenate([SILENCE, *parts]))
            for time, parts in self._runs
        ]
        length = max((start + len(samples) for start, samples in runs), default=0)
        if length <= 0:
            return None
        heard = np.zeros(length, np.float32)
        for start, samples in runs:
            heard[max(start, 0) : max(start + len(samples), 0)] = samples[max(-start, 0) :]
        if not np.isfinite(heard).all():
            raise InvalidInput("the sound holds values that are not numbers: record it again")
        return np.clip(heard, -1, 1)

    def _flush(self) -> None:
        if self._runs:
            self._resample(None)

    def _resample(self, frame: AudioFrame | None) -> None:
        made: Sequence[AudioFrame | None] = self._resampler.resample(frame)  # PyAV's types forget
        for part in made:
            if part is not None:
                # Packed, because PyAV 18.1 reads past the end of the list of eight planes.
                packed = part.to_ndarray().reshape(-1, part.layout.nb_channels)
                self._runs[-1][1].append(np.asarray(packed[:, 0], np.float32))
