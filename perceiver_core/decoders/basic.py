"""The cross-attention decoder: queries read the latents (Perceiver IO, section 3.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from perceiver_core.attention import PerceiverLayer
from perceiver_core.config import PerceiverConfig
from perceiver_core.decoders.base import PerceiverAbstractDecoder
from perceiver_core.outputs import PerceiverDecoderOutput
from perceiver_core.positions import (
    PerceiverTrainablePositionEncoding,
    PositionEncoding,
    build_position_encoding,
)


class PerceiverBasicDecoder(PerceiverAbstractDecoder):
    """One cross-attention layer over the latents (seed: PerceiverBasicDecoder, every parameter).

    Queries are position encodings of the outputs; one head unless `num_heads` says otherwise.
    """

    def __init__(
        self,
        config: PerceiverConfig,
        output_num_channels: int,
        position_encoding_type: str = "trainable",
        output_index_dims: int | Sequence[int] | None = None,
        num_channels: int = 128,
        subsampled_index_dims: int | None = None,
        qk_channels: int | None = None,
        v_channels: int | None = None,
        num_heads: int = 1,
        widening_factor: int = 1,
        use_query_residual: bool = False,
        concat_preprocessed_input: bool = False,
        final_project: bool = True,
        position_encoding_only: bool = False,
        **position_encoding_kwargs: Any,
    ) -> None:
        super().__init__()
        self.output_num_channels = output_num_channels
        self.output_index_dims = output_index_dims
        self.subsampled_index_dims = subsampled_index_dims or output_index_dims
        self.num_channels = num_channels
        self.concat_preprocessed_input = concat_preprocessed_input
        self.final_project = final_project
        self.position_encoding_only = position_encoding_only
        self.output_position_encodings: PositionEncoding | None = None
        if position_encoding_type != "none":
            self.output_position_encodings, self.positions_projection = build_position_encoding(
                position_encoding_type, **position_encoding_kwargs
            )
            self.project_pos_dim = position_encoding_kwargs.get("project_pos_dim", -1)
        if not position_encoding_only:
            self.decoding_cross_attention = PerceiverLayer(
                config,
                q_dim=num_channels,
                kv_dim=config.d_latents,
                qk_channels=qk_channels,
                v_channels=v_channels,
                num_heads=num_heads,
                widening_factor=widening_factor,
                use_query_residual=use_query_residual,
            )
            self.final_layer = (
                nn.Linear(num_channels, output_num_channels) if final_project else nn.Identity()
            )

    @property
    def num_query_channels(self) -> int:
        """Channels of the output; of the positions where this decoder only makes queries."""
        if self.position_encoding_only:
            positions = self._positions()
            return self.project_pos_dim if self.project_pos_dim > 0 else positions.output_size()
        return self.output_num_channels if self.final_project else self.num_channels

    def _positions(self) -> PositionEncoding:
        if self.output_position_encodings is None:
            raise ValueError(
                "this decoder has position_encoding_type 'none': pass your own queries"
            )
        return self.output_position_encodings

    def decoder_query(
        self,
        inputs: Tensor,
        modality_sizes: dict[str, int] | None = None,
        inputs_without_pos: Tensor | None = None,
        subsampled_points: Tensor | None = None,
    ) -> Tensor:
        """Queries (B, Q, C): of every output position, or of the flat indices given."""
        positions = self._positions()
        if isinstance(positions, PerceiverTrainablePositionEncoding):
            table = positions()
        elif subsampled_points is None:
            table = positions(tuple(inputs.shape[2:]), inputs.device, inputs.dtype)
        else:
            table = positions.features(self._coordinates(subsampled_points, inputs.device))
            table = table.to(inputs.dtype)
        query: Tensor = self.positions_projection(table).expand(inputs.shape[0], -1, -1)
        if not self.concat_preprocessed_input:
            return query
        if inputs_without_pos is None:
            raise ValueError("concat_preprocessed_input is on: pass inputs_without_pos")
        return torch.cat([inputs_without_pos, query], dim=-1)

    def learned_queries(self, positions: Tensor) -> Tensor:
        """Rows of the learned table for chosen outputs: int (B, Q) -> (B, Q, C)."""
        table = self._positions()
        assert isinstance(table, PerceiverTrainablePositionEncoding)
        rows: Tensor = table()[positions]
        return rows

    def _coordinates(self, points: Tensor, device: torch.device) -> Tensor:
        """Flat indices (Q,) to coordinates (Q, d) in [-1, 1): the published decoders step by 2 / n,
        unlike the encoder's inclusive grid. ValueError for a point that is not there."""
        dims = self.output_index_dims
        if dims is None:
            raise ValueError("subsampled points need output_index_dims")
        dims = (dims,) if isinstance(dims, int) else tuple(dims)
        absent = (points < 0) | (points >= math.prod(dims))
        if absent.any():
            raise ValueError(
                f"there is no output {points[absent][0].item()}: the outputs of {dims} are 0 to "
                f"{math.prod(dims) - 1}"
            )
        index = torch.stack(torch.unravel_index(points.to(device), dims), dim=1)
        return -1 + 2 * index / torch.tensor(dims, device=device)

    def forward(
        self, query: Tensor | None, z: Tensor, output_attentions: bool = False
    ) -> PerceiverDecoderOutput:
        """query (B or 1, Q, num_channels), z (B, N, d_latents) -> logits (B, Q, outputs)."""
        assert query is not None
        out, weights = self.decoding_cross_attention(query, z, need_weights=output_attentions)
        return PerceiverDecoderOutput(
            logits=self.final_layer(out),
            cross_attentions=(weights,) if output_attentions else None,
        )
