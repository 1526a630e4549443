"""The original Perceiver's head: average the latents, project."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from perceiver_core.config import PerceiverConfig
from perceiver_core.decoders.base import PerceiverAbstractDecoder
from perceiver_core.outputs import PerceiverDecoderOutput


class PerceiverProjectionDecoder(PerceiverAbstractDecoder):
    """Projection of the mean latent, no cross-attention (seed: PerceiverProjectionDecoder)."""

    def __init__(self, config: PerceiverConfig) -> None:
        super().__init__()
        self.classifier = nn.Linear(config.d_latents, config.num_labels)

    def decoder_query(
        self,
        inputs: Tensor,
        modality_sizes: dict[str, int] | None = None,
        inputs_without_pos: Tensor | None = None,
        subsampled_points: Any = None,
    ) -> None:
        """No queries."""

    def forward(
        self, query: Tensor | None, z: Tensor, output_attentions: bool = False
    ) -> PerceiverDecoderOutput:
        """Logits (B, num_labels)."""
        return PerceiverDecoderOutput(logits=self.classifier(z.mean(dim=1)))
