"""Flow at every pixel, read by queries that are the preprocessed pixels themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from perceiver_core.config import PerceiverConfig
from perceiver_core.decoders.base import PerceiverAbstractDecoder
from perceiver_core.decoders.basic import PerceiverBasicDecoder
from perceiver_core.outputs import PerceiverDecoderOutput


class PerceiverOpticalFlowDecoder(PerceiverAbstractDecoder):
    """A basic decoder whose output is divided by `rescale_factor` and laid out as the image
    (seed: PerceiverOpticalFlowDecoder)."""

    def __init__(
        self,
        config: PerceiverConfig,
        output_image_shape: Sequence[int],
        output_num_channels: int = 2,
        rescale_factor: float = 100.0,
        **decoder_kwargs: Any,
    ) -> None:
        super().__init__()
        self.output_image_shape = tuple(output_image_shape)
        self.output_num_channels = output_num_channels
        self.rescale_factor = rescale_factor
        self.decoder = PerceiverBasicDecoder(
            config, output_num_channels=output_num_channels, **decoder_kwargs
        )

    @property
    def num_query_channels(self) -> int:
        """As the inner decoder's."""
        return self.decoder.num_query_channels

    def decoder_query(
        self,
        inputs: Tensor,
        modality_sizes: dict[str, int] | None = None,
        inputs_without_pos: Any = None,
        subsampled_points: Tensor | None = None,
    ) -> Tensor:
        """The preprocessed pixels (B, M, C), or those at the flat indices given."""
        return inputs if subsampled_points is None else inputs[:, subsampled_points]

    def forward(
        self, query: Tensor | None, z: Tensor, output_attentions: bool = False
    ) -> PerceiverDecoderOutput:
        """Flow (B, height, width, 2) for a whole image of output_image_shape, else (B, Q, 2)."""
        decoded = self.decoder(query, z, output_attentions)
        flow = decoded.logits / self.rescale_factor
        if flow.shape[1] == math.prod(self.output_image_shape):
            flow = flow.unflatten(1, self.output_image_shape)
        return PerceiverDecoderOutput(flow, decoded.cross_attentions)
