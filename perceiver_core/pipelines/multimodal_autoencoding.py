"""A video with sound to its clips' labels, and to their frames and sound as the model saw them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from perceiver_core.errors import InvalidInput
from perceiver_core.pipelines.base import Pipeline, Row, check_top_k
from perceiver_core.pipelines.classification import Label, best_labels

MODALITIES = ("label", "video", "audio")
FRAME_RATE = 25  # frames a second (Perceiver IO, multimodal autoencoding on Kinetics)


@dataclass(frozen=True)
class MultimodalAutoencodingInput:
    """A video file, the modalities wanted, and how many labels (default 5)."""

    video: bytes
    outputs: tuple[str, ...] = ("label",)
    top_k: int | None = None


@dataclass(frozen=True)
class Footage:
    """As MultimodalAutoencodingInput, decoded to the model's format: RGB uint8 (n, H, W, 3), mono
    float32 (S,) in [-1, 1], None or too short where there is no sound."""

    frames: NDArray[np.uint8]
    audio: NDArray[np.float32] | None
    outputs: tuple[str, ...] = ("label",)
    top_k: int | None = None


class Format(NamedTuple):
    """What a model watches and hears: clips of `frames` frames and `samples` samples."""

    frames: int
    height: int
    width: int
    samples: int
    frame_rate: int
    sample_rate: int


@dataclass(frozen=True)
class Clip:
    """A clip and what was asked of it: labels best first, RGB uint8 (n, H, W, 3), float32 (S,)."""

    start: float  # seconds
    labels: list[Label] | None
    video: NDArray[np.uint8] | None
    audio: NDArray[np.float32] | None


@dataclass(frozen=True)
class Reconstruction:
    """A video's clips in order."""

    clips: list[Clip]
    format: Format


class MultimodalAutoencoding(Pipeline[MultimodalAutoencodingInput | Footage, Reconstruction]):
    """PerceiverForMultimodalAutoencoding; a row is a clip."""

    task = "multimodal-autoencoding"
    input_type = MultimodalAutoencodingInput
    media = True
    # Reads a file to frames (n, H, W, 3) and samples; the library itself reads no video files.
    decode: Callable[[bytes, Format], tuple[NDArray[np.uint8], NDArray[np.float32] | None]]

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """From `id2label`."""
        return self.config.labels

    @cached_property
    def format(self) -> Format:
        """From `num_frames`, `output_shape` and `audio_samples_per_frame`."""
        config = self.config
        _, frames, height, width = config.output_shape
        samples = config.audio_samples_per_frame
        rate = FRAME_RATE * samples
        return Format(frames, height, width, frames * samples, FRAME_RATE, rate)

    def check(self, item: MultimodalAutoencodingInput | Footage) -> None:
        """Known modalities, at least one; top_k in range."""
        check_top_k(item.top_k, len(self.labels))
        if not item.outputs or not set(item.outputs) <= set(MODALITIES):
            raise InvalidInput(
                f"outputs is {list(item.outputs)}: use one or more of {', '.join(MODALITIES)}"
            )

    def preprocess(self, item: MultimodalAutoencodingInput | Footage) -> list[Row]:
        """A row for each clip: `video` uint8 (T, H, W, 3), `audio` float32 (S,), `wanted` bool
        (3,), one for each of MODALITIES, `length` int64: its frames and samples that are real.

        The last clip is filled with its last frame and with silence; sound beyond the last frame
        is dropped.
        """
        raise NotImplementedError

    def forward(self, model: Any, rows: list[Row]) -> list[Row]:
        """Of what is wanted: `label` float32 (num_labels,), `video` uint8 (T, H, W, 3), `audio`
        float32 (S,)."""
        raise NotImplementedError

    def postprocess(
        self, item: MultimodalAutoencodingInput | Footage, rows: list[Row]
    ) -> Reconstruction:
        """The clips, the last one as long as it was."""
        _ = best_labels
        raise NotImplementedError
