"""What the server answers, as plain values: equal ones are equal, over whatever they came.

What holds arrays is compared by identity: compare the arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perceiver_client.errors import PerceiverError


@dataclass(frozen=True)
class Label:
    """One label of an input, and its score."""

    label: str
    score: float


@dataclass(frozen=True)
class Fill:
    """One filling of a span of masks.  `sequence`: the text with it, other spans stay masked;
    `score`: product of its bytes' probabilities; `token`: id of the first byte; `tokens`: of all.
    """

    sequence: str
    score: float
    token: int
    token_str: str
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Format:
    """What a model watches and hears at once: `frames` pictures of height x width pixels,
    `frame_rate` a second, and `samples` of sound, `sample_rate` a second."""

    frames: int
    height: int
    width: int
    samples: int
    frame_rate: int
    sample_rate: int


@dataclass(frozen=True)
class Model:
    """A model of the catalogue.  `state`: not_pulled, unloaded, loading, loaded or failed;
    `default`: of its task; `problem`: why it cannot be used, where that is so; `format`: of the
    chunks of multimodal-autoencoding."""

    name: str
    task: str | None
    source: str
    state: str
    default: bool
    resident_bytes: int
    problem: str | None
    format: Format | None = None


@dataclass(frozen=True, eq=False)
class Clip:
    """A part of a video and what was asked of it, None for the rest.  `start`: in seconds;
    `labels`: best first; `video`: RGB uint8 (n, height, width, 3); `audio`: float32 (samples,) in
    [-1, 1]."""

    start: float
    labels: list[Label] | None = None
    video: NDArray[np.uint8] | None = None
    audio: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """A video's clips in order; frames and samples of them a second."""

    clips: list[Clip]
    frame_rate: int
    sample_rate: int


@dataclass(frozen=True, eq=False)
class _Streamed:
    index: int
    batch_size: int
    error: PerceiverError | None
    _answer: Any = field(repr=False)

    def _answered(self) -> Any:
        if self.error is not None:
            raise self.error
        return self._answer


class FlowField(_Streamed):
    """The flow from a frame of a stream to the next.

    index: of the second of the two, the first frame of the stream being 0; batch_size: how many
    rows were computed together; error: why there is no flow, else None.
    """

    @property
    def flow(self) -> NDArray[np.float32]:
        """float32 (h, w, 2): pixels to the right and down.  Raises `error` where there is one."""
        flow: NDArray[np.float32] = self._answered()
        return flow


class MultimodalResult(_Streamed):
    """The answer to a chunk of a stream.

    index: of the chunk, from 0; batch_size: how many rows were computed together; error: why there
    is no clip, else None.
    """

    @property
    def clip(self) -> Clip:
        """What was asked of the chunk.  Raises `error` where there is one."""
        clip: Clip = self._answered()
        return clip
