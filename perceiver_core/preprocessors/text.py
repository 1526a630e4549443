"""Bytes of text: a learned embedding plus a learned position."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from perceiver_core.config import PerceiverConfig
from perceiver_core.preprocessors.base import Preprocessed, Preprocessor


class PerceiverTextPreprocessor(Preprocessor):
    """Embeds token ids and adds trainable positions (seed: PerceiverTextPreprocessor)."""

    def __init__(self, config: PerceiverConfig) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(config.vocab_size, config.d_model)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.d_model)

    @property
    def num_channels(self) -> int:
        """d_model."""
        return self.embeddings.embedding_dim

    def forward(self, inputs: Tensor, interpolate_pos_encoding: bool = False) -> Preprocessed:
        """inputs: int (B, M), 0 <= id < vocab_size, M <= max_position_embeddings, else ValueError.

        Positions of text are not interpolated: the flag is there because every preprocessor is
        called alike.
        """
        length, limit = inputs.shape[1], self.position_embeddings.num_embeddings
        if length > limit:
            raise ValueError(f"the text has {length} tokens, the model takes at most {limit}")
        embedded = self.embeddings(inputs)
        positions = self.position_embeddings(torch.arange(length, device=inputs.device))
        return Preprocessed(embedded + positions, None, embedded)
