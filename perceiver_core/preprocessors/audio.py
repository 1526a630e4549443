"""Raw audio, cut into patches of samples."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from perceiver_core.config import PerceiverConfig
from perceiver_core.preprocessors.base import PositionedPreprocessor, Preprocessed


class PerceiverAudioPreprocessor(PositionedPreprocessor):
    """Patches of samples with their positions (seed: PerceiverAudioPreprocessor, every parameter
    there)."""

    def __init__(
        self,
        config: PerceiverConfig,
        prep_type: str = "patches",
        samples_per_patch: int = 96,
        position_encoding_type: str = "fourier",
        concat_or_add_pos: str = "concat",
        out_channels: int = 64,
        project_pos_dim: int = -1,
        **position_encoding_kwargs: Any,
    ) -> None:
        if prep_type != "patches":
            raise ValueError(f"prep_type is {prep_type!r}: audio takes 'patches' only")
        super().__init__(
            position_encoding_type,
            out_channels,
            concat_or_add_pos,
            project_pos_dim,
            **position_encoding_kwargs,
        )
        self.samples_per_patch = samples_per_patch

    def feature_channels(self) -> int:
        """Samples of a patch."""
        return self.samples_per_patch

    def forward(self, inputs: Tensor, interpolate_pos_encoding: bool = False) -> Preprocessed:
        """Samples float (B, S) or (B, S, 1), S a multiple of samples_per_patch -> (B, M, C)."""
        samples = inputs.flatten(1)
        if samples.shape[1] % self.samples_per_patch:
            raise ValueError(
                f"the audio has {samples.shape[1]} samples: give a multiple of "
                f"{self.samples_per_patch}"
            )
        patches = samples.unflatten(1, (-1, self.samples_per_patch))
        return self.with_positions(patches, interpolate_pos_encoding)
