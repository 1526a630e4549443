"""What every input preprocessor gives the encoder."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from perceiver_core.positions import PerceiverTrainablePositionEncoding, build_position_encoding


class Preprocessed(NamedTuple):
    """inputs (B, M, C) with positions; sizes of the modalities, None with only one; the inputs
    without positions (B, M, c), a dict of them with several modalities."""

    inputs: Tensor
    modality_sizes: dict[str, int] | None
    inputs_without_pos: Tensor | dict[str, Any]


class Preprocessor(nn.Module):
    """Turns raw inputs into the array that the encoder's cross-attention reads."""

    @property
    def num_channels(self) -> int:
        """Channels C of the preprocessed inputs."""
        raise NotImplementedError


class PositionedPreprocessor(Preprocessor):
    """Features on a grid, with the positions of the grid beside them or added to them."""

    def __init__(
        self,
        position_encoding_type: str,
        out_channels: int,
        concat_or_add_pos: str,
        project_pos_dim: int,
        **position_encoding_kwargs: Any,
    ) -> None:
        super().__init__()
        if concat_or_add_pos not in ("concat", "add"):
            raise ValueError(f"concat_or_add_pos is {concat_or_add_pos!r}: use 'concat' or 'add'")
        self.concat_or_add_pos = concat_or_add_pos
        self.project_pos_dim = project_pos_dim
        self.position_embeddings, self.positions_projection = build_position_encoding(
            position_encoding_type, out_channels, project_pos_dim, **position_encoding_kwargs
        )

    @property
    def num_channels(self) -> int:
        """Channels of the features and, unless added to them, of the positions."""
        projected = self.project_pos_dim > 0
        positions = self.project_pos_dim if projected else self.position_embeddings.output_size()
        if self.concat_or_add_pos == "add":
            return positions
        return self.feature_channels() + positions

    def feature_channels(self) -> int:
        """Channels of the features."""
        raise NotImplementedError

    def with_positions(self, features: Tensor, interpolate: bool = False) -> Preprocessed:
        """Features (B, ..., c) of a grid of one, two or three dimensions -> (B, M, C).

        With `interpolate` trainable positions follow the size of the grid; without, ValueError
        where it has another number of elements than were trained.
        """
        index_dims = tuple(features.shape[1:-1])
        features = features.flatten(1, -2)
        positions = self.positions(index_dims, features, interpolate)
        if len(positions) != features.shape[1]:
            raise ValueError(
                f"the input is a grid of {'×'.join(map(str, index_dims))} elements, the model has "
                f"{len(positions)} learned positions: pass interpolate_pos_encoding=True, or "
                "resize the input"
            )
        if self.concat_or_add_pos == "add":
            return Preprocessed(features + positions, None, features)
        positions = positions.expand(features.shape[0], -1, -1)
        return Preprocessed(torch.cat([features, positions], dim=-1), None, features)

    def positions(self, index_dims: tuple[int, ...], like: Tensor, interpolate: bool) -> Tensor:
        """The positions (M, C) of a grid, projected."""
        encoding = self.position_embeddings
        if isinstance(encoding, PerceiverTrainablePositionEncoding):
            table = encoding(index_dims if interpolate else None)
        else:
            table = encoding(index_dims, like.device, like.dtype)
        projected: Tensor = self.positions_projection(table)
        return projected
