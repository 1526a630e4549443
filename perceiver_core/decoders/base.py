"""What every decoder can do: make queries, and read the latents with them."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from perceiver_core.outputs import PerceiverDecoderOutput


class PerceiverAbstractDecoder(nn.Module):
    """`decoder_query` makes the queries, `forward` reads the latents with them."""

    @property
    def num_query_channels(self) -> int:
        """Channels of a query."""
        raise NotImplementedError

    def decoder_query(
        self,
        inputs: Tensor,
        modality_sizes: dict[str, int] | None = None,
        inputs_without_pos: Any = None,
        subsampled_points: Any = None,
    ) -> Tensor | None:
        """Queries (B, Q, C) for preprocessed inputs (B, M, c); None if the decoder needs none."""
        raise NotImplementedError

    def output_sizes(
        self, modality_sizes: dict[str, int] | None, subsampled_points: Any
    ) -> dict[str, int] | None:
        """The modalities of the output and how many elements each has; as the inputs' unless the
        decoder says otherwise."""
        return modality_sizes

    def forward(
        self, query: Tensor | None, z: Tensor, output_attentions: bool = False
    ) -> PerceiverDecoderOutput:
        """query (B, Q, C), z: latents (B, num_latents, d_latents)."""
        raise NotImplementedError
