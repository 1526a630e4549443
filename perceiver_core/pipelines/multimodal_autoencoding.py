"""A video with sound to its clips' labels, and to their frames and sound as the model saw them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from perceiver_core.errors import InvalidInput
from perceiver_core.pipelines.base import Pipeline, Row, check_top_k, rows_within
from perceiver_core.pipelines.classification import Label, best_labels

Decoded = tuple[NDArray[np.uint8], NDArray[np.float32] | None]  # frames (n, H, W, 3), samples (S,)
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
    video = True
    # Reads a file into the model's format; the library itself reads no video files.
    decode: Callable[[bytes, Format], Decoded] | None = None

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

    @cached_property
    def most_rows(self) -> int:
        """By the outputs of a whole clip."""
        _, frames, height, width = self.config.output_shape
        return rows_within(frames * height * width)

    def check(self, item: MultimodalAutoencodingInput | Footage) -> None:
        """Known modalities, at least one; top_k in range; footage in the model's format."""
        check_top_k(item.top_k, len(self.labels))
        if not item.outputs or not set(item.outputs) <= set(MODALITIES):
            raise InvalidInput(
                f"outputs is {list(item.outputs)}: use one or more of {', '.join(MODALITIES)}"
            )
        if isinstance(item, Footage):
            _check_footage(item.frames, item.audio, self.format)

    def answer_bytes(self, item: MultimodalAutoencodingInput | Footage, rows: list[Row]) -> int:
        """The frames and the samples of every clip, where they are wanted."""
        clip = self.format
        video = clip.frames * clip.height * clip.width * 3 if "video" in item.outputs else 0
        audio = clip.samples * 4 if "audio" in item.outputs else 0
        return len(rows) * (video + audio)

    def preprocess(self, item: MultimodalAutoencodingInput | Footage) -> list[Row]:
        """A row for each clip: `video` uint8 (T, H, W, 3), `audio` float32 (S,), `wanted` bool
        (3,), one for each of MODALITIES, `length` int64: how many of its frames are real.

        The last clip is filled with its last frame and with silence; sound beyond the last frame
        is dropped, and samples beyond [-1, 1] become -1 or 1.
        """
        footage = self.decoded(item)
        frames, audio = footage.frames, footage.audio
        clip = self.format
        sound = np.zeros(0, np.float32) if audio is None else audio.clip(-1, 1)
        wanted = np.array([name in item.outputs for name in MODALITIES])
        rows: list[Row] = []
        for number, start in enumerate(range(0, len(frames), clip.frames)):
            video = frames[start : start + clip.frames]
            real = len(video)
            if real < clip.frames:
                video = np.concatenate([video, np.repeat(video[-1:], clip.frames - real, axis=0)])
            heard = sound[number * clip.samples :][: real * clip.samples // clip.frames]
            rows.append(
                {
                    "video": video,
                    "audio": np.pad(heard, (0, clip.samples - len(heard))),
                    "wanted": wanted,
                    "length": np.array(real),
                }
            )
        return rows

    def decoded(self, item: MultimodalAutoencodingInput | Footage) -> Footage:
        """The frames and the sound."""
        if isinstance(item, Footage):
            return item
        if self.decode is None:
            raise InvalidInput(
                "this library reads no video files: give Footage, the frames and samples of one"
            )
        frames, audio = self.decode(item.video, self.format)
        _check_footage(frames, audio, self.format)
        return Footage(frames, audio, item.outputs, item.top_k)

    def row_count(self, item: MultimodalAutoencodingInput | Footage) -> int:
        """Clips."""
        return -(-len(self.decoded(item).frames) // self.format.frames)

    def forward(self, model: Any, rows: list[Row]) -> list[Row]:
        """Of what is wanted: `label` float32 (num_labels,), `video` uint8 (T, H, W, 3) with its
        `range` float32 (2,) before rounding, `audio` float32 (S,); and `length`, as it came."""
        from perceiver_core.pipelines.rows import clip_rows

        return [
            found | {"length": row["length"]}
            for found, row in zip(clip_rows(model, rows), rows, strict=True)
        ]

    def postprocess(
        self, item: MultimodalAutoencodingInput | Footage, rows: Iterable[Row]
    ) -> Reconstruction:
        """The clips, the last one as long as it was."""
        return Reconstruction(
            [self._clip(number, row, item.top_k) for number, row in enumerate(rows)], self.format
        )

    def _clip(self, number: int, row: Row, top_k: int | None) -> Clip:
        clip, real = self.format, int(row["length"])
        label, video, audio = (row.get(name) for name in MODALITIES)
        return Clip(
            start=number * clip.frames / clip.frame_rate,
            labels=None if label is None else best_labels(label, self.labels, top_k, "softmax"),
            video=None if video is None else video[:real],
            audio=None if audio is None else audio[: real * clip.samples // clip.frames],
        )


def _check_footage(frames: NDArray[Any], audio: NDArray[Any] | None, wanted: Format) -> None:
    """Raises InvalidInput for frames and samples that are not of the model's format."""
    size = (wanted.height, wanted.width, 3)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[1:] != size:
        raise InvalidInput(
            f"the frames are {frames.dtype} {frames.shape}: give uint8 (n, {wanted.height}, "
            f"{wanted.width}, 3), RGB"
        )
    if len(frames) == 0:
        raise InvalidInput("there are no frames: give at least one")
    if audio is None:
        return
    if audio.dtype != np.float32 or audio.ndim != 1:
        raise InvalidInput(
            f"the audio is {audio.dtype} {audio.shape}: give float32 (samples,) in [-1, 1], mono"
        )
    if not np.isfinite(audio).all():
        raise InvalidInput("the audio holds NaN or infinity: give finite samples in [-1, 1]")
