"""One learned query, one row of logits."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from perceiver_core.config import PerceiverConfig
from perceiver_core.decoders.base import PerceiverAbstractDecoder
from perceiver_core.decoders.basic import PerceiverBasicDecoder
from perceiver_core.outputs import PerceiverDecoderOutput


class PerceiverClassificationDecoder(PerceiverAbstractDecoder):
    """A basic decoder with one query (seed: PerceiverClassificationDecoder)."""

    def __init__(self, config: PerceiverConfig, **decoder_kwargs: Any) -> None:
        super().__init__()
        self.decoder = PerceiverBasicDecoder(
            config, output_num_channels=config.num_labels, output_index_dims=1, **decoder_kwargs
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
        """The learned query (B, 1, C)."""
        return self.decoder.decoder_query(
            inputs, modality_sizes, inputs_without_pos, subsampled_points
        )

    def forward(
        self, query: Tensor | None, z: Tensor, output_attentions: bool = False
    ) -> PerceiverDecoderOutput:
        """Logits (B, num_labels) of the first query."""
        decoded = self.decoder(query, z, output_attentions)
        return PerceiverDecoderOutput(decoded.logits[:, 0, :], decoded.cross_attentions)
