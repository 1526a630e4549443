"""Vectors that are inputs as they are, such as one-hot labels."""

from __future__ import annotations

from torch import Tensor

from perceiver_core.config import PerceiverConfig
from perceiver_core.preprocessors.base import Preprocessed, Preprocessor


class PerceiverOneHotPreprocessor(Preprocessor):
    """One input element of `num_labels` channels (seed: PerceiverOneHotPreprocessor)."""

    def __init__(self, config: PerceiverConfig) -> None:
        super().__init__()
        self.num_labels = config.num_labels

    @property
    def num_channels(self) -> int:
        """num_labels."""
        return self.num_labels

    def forward(self, inputs: Tensor, interpolate_pos_encoding: bool = False) -> Preprocessed:
        """(B, num_labels) -> (B, 1, num_labels)."""
        if inputs.shape[1:] != (self.num_labels,):
            raise ValueError(
                f"the labels are {tuple(inputs.shape)}: give (batch, {self.num_labels}), "
                "a number for each label"
            )
        return Preprocessed(inputs[:, None], None, inputs[:, None])
