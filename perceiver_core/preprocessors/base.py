"""What every input preprocessor gives the encoder."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn


class Preprocessed(NamedTuple):
    """inputs (B, M, C) with positions; sizes of the modalities, None with only one; the inputs
    without positions (B, M, c)."""

    inputs: Tensor
    modality_sizes: dict[str, int] | None
    inputs_without_pos: Tensor


class Preprocessor(nn.Module):
    """Turns raw inputs into the array that the encoder's cross-attention reads."""

    @property
    def num_channels(self) -> int:
        """Channels C of the preprocessed inputs."""
        raise NotImplementedError
