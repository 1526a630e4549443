"""Queries of several modalities, read by one cross-attention."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from perceiver_core.config import PerceiverConfig
from perceiver_core.decoders.base import PerceiverAbstractDecoder
from perceiver_core.decoders.basic import PerceiverBasicDecoder
from perceiver_core.outputs import PerceiverDecoderOutput
from perceiver_core.positions import PerceiverTrainablePositionEncoding


def split_modalities(elements: Tensor, sizes: Mapping[str, int]) -> dict[str, Tensor]:
    """(B, M, C), modalities one after the other in the order of their names -> each by itself."""
    names = sorted(sizes)
    return dict(zip(names, elements.split([sizes[name] for name in names], dim=1), strict=True))


class PerceiverMultimodalDecoder(PerceiverAbstractDecoder):
    """Every modality's decoder makes its queries; padded with learned channels to one width and
    laid one after the other, they are read together (seed: PerceiverMultimodalDecoder)."""

    def __init__(
        self,
        config: PerceiverConfig,
        modalities: Mapping[str, PerceiverAbstractDecoder],
        num_outputs: int | None,
        output_num_channels: int,
        min_padding_size: int = 2,
        subsampled_index_dims: Mapping[str, Any] | None = None,
        **decoder_kwargs: Any,
    ) -> None:
        super().__init__()
        self.modalities = nn.ModuleDict(dict(modalities))
        self.subsampled_index_dims = subsampled_index_dims
        self.min_padding_size = min_padding_size
        self.output_num_channels = output_num_channels
        self.num_outputs = num_outputs
        width = self.num_query_channels
        self.decoder = PerceiverBasicDecoder(
            config,
            output_index_dims=num_outputs,
            output_num_channels=output_num_channels,
            position_encoding_type="none",
            num_channels=width,
            **decoder_kwargs,
        )
        self.padding = nn.ParameterDict(
            {
                name: nn.Parameter(torch.randn(1, width - decoder.num_query_channels))
                for name, decoder in modalities.items()
            }
        )

    @property
    def num_query_channels(self) -> int:
        """Channels of the widest modality's queries and the smallest padding."""
        widths = [int(module.num_query_channels) for module in self.modalities.values()]  # type: ignore[arg-type]  # nn.Module is untyped
        return max(widths) + self.min_padding_size

    def modality_query(
        self,
        name: str,
        inputs: Tensor,
        inputs_without_pos: Tensor | None = None,
        points: Tensor | None = None,
    ) -> Tensor:
        """Padded queries (B, Q, C) of one modality: of all its outputs, or at flat indices (Q,)."""
        decoder: Any = self.modalities[name]
        if points is None and not _is_learned(decoder):
            points = torch.arange(output_count(decoder), device=inputs.device)
        query = decoder.decoder_query(inputs, None, inputs_without_pos, points)
        query = query.flatten(1, -2)
        padding = self.padding[name].to(query.dtype).expand(*query.shape[:2], -1)
        return torch.cat([query, padding], dim=-1)

    def decoder_query(
        self,
        inputs: Tensor,
        modality_sizes: dict[str, int] | None = None,
        inputs_without_pos: Any = None,
        subsampled_points: Mapping[str, Tensor | None] | None = None,
    ) -> Tensor:
        """Queries (B, Q, C) of all modalities: of all outputs, or of the flat indices given."""
        if modality_sizes is None:
            raise ValueError(
                "a PerceiverMultimodalDecoder needs the inputs by modality: give the model a "
                "PerceiverMultimodalPreprocessor"
            )
        own = split_modalities(inputs, modality_sizes)
        points = subsampled_points or {}
        if not set(points) <= set(self.modalities):
            raise ValueError(
                f"subsampled_output_points names {', '.join(sorted(points))}: the outputs are "
                f"{', '.join(sorted(self.modalities))}"
            )
        without = inputs_without_pos or {}
        queries = [
            self.modality_query(name, own[name], without.get(name), points.get(name))
            for name in sorted(self.modalities)
        ]
        return torch.cat(queries, dim=1)

    def output_sizes(
        self, modality_sizes: dict[str, int] | None, subsampled_points: Any
    ) -> dict[str, int]:
        """How many queries each modality has."""
        points = subsampled_points or {}
        return {
            name: output_count(decoder)
            if points.get(name) is None or _is_learned(decoder)
            else len(points[name])
            for name, decoder in self.modalities.items()
        }

    def forward(
        self, query: Tensor | None, z: Tensor, output_attentions: bool = False
    ) -> PerceiverDecoderOutput:
        """Queries (B or 1, Q, C) of any modalities -> logits (B, Q, output_num_channels)."""
        decoded: PerceiverDecoderOutput = self.decoder(query, z, output_attentions)
        return decoded


def output_count(decoder: Any) -> int:
    """How many outputs a modality has, by its decoder or the basic decoder inside it."""
    dims = _basic(decoder).output_index_dims
    return math.prod((dims,) if isinstance(dims, int) else dims or ())


def _is_learned(decoder: Any) -> bool:
    """True where the queries are a learned table, one row for each output."""
    positions = _basic(decoder).output_position_encodings
    return isinstance(positions, PerceiverTrainablePositionEncoding)


def _basic(decoder: Any) -> PerceiverBasicDecoder:
    basic = getattr(decoder, "decoder", decoder)
    assert isinstance(basic, PerceiverBasicDecoder)
    return basic
