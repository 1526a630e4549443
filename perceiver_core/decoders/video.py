"""Frames of a video, read by the positions of their pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from perceiver_core.config import PerceiverConfig
from perceiver_core.decoders.base import PerceiverAbstractDecoder
from perceiver_core.decoders.basic import PerceiverBasicDecoder
from perceiver_core.outputs import PerceiverDecoderOutput


class PerceiverBasicVideoAutoencodingDecoder(PerceiverAbstractDecoder):
    """A basic decoder laid out as video (seed: PerceiverBasicVideoAutoencodingDecoder)."""

    def __init__(
        self,
        config: PerceiverConfig,
        output_shape: Sequence[int],
        position_encoding_type: str,
        **decoder_kwargs: Any,
    ) -> None:
        """output_shape: (batch_size, num_frames, height, width); decoder_kwargs must hold
        `output_num_channels`. ValueError where that is not so."""
        super().__init__()
        if len(output_shape) != 4:
            raise ValueError(
                f"output_shape is {tuple(output_shape)}: give (batch_size, num_frames, height, "
                "width)"
            )
        if "output_num_channels" not in decoder_kwargs:
            raise ValueError("give output_num_channels, the channels of a pixel that is read")
        self.output_shape = tuple(output_shape)
        self.output_num_channels = decoder_kwargs["output_num_channels"]
        self.decoder = PerceiverBasicDecoder(
            config,
            output_index_dims=self.output_shape[1:],
            position_encoding_type=position_encoding_type,
            **decoder_kwargs,
        )

    @property
    def num_query_channels(self) -> int:
        """As the inner decoder's."""
        return self.decoder.num_query_channels

    def decoder_query(
        self,
        inputs: Tensor,
        modality_sizes: dict[str, int] | None = None,
        inputs_without_pos: Tensor | None = None,
        subsampled_points: Tensor | None = None,
    ) -> Tensor:
        """Queries (B, Q, C) of all pixels, or of the flat indices (frame, row, column) given."""
        return self.decoder.decoder_query(
            inputs, modality_sizes, inputs_without_pos, subsampled_points
        )

    def forward(
        self, query: Tensor | None, z: Tensor, output_attentions: bool = False
    ) -> PerceiverDecoderOutput:
        """Logits (B, num_frames, height, width, channels) of all pixels, else (B, Q, channels)."""
        decoded = self.decoder(query, z, output_attentions)
        logits = decoded.logits
        if logits.shape[1] == math.prod(self.output_shape[1:]):
            logits = logits.unflatten(1, self.output_shape[1:])
        return PerceiverDecoderOutput(logits, decoded.cross_attentions)
