"""Position encodings: Fourier features and trainable tables (Perceiver IO, appendix D)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# How a learned grid of so many dimensions is interpolated; the published classes know bicubic only.
INTERPOLATIONS = {1: "linear", 2: "bicubic", 3: "trilinear"}


def fourier_features(
    pos: Tensor,
    num_bands: int,
    max_resolution: Sequence[int],
    concat_pos: bool = True,
    sine_only: bool = False,
) -> Tensor:
    """[pos | sin(pi f pos), dimension-major | cos(pi f pos)] with `num_bands` frequencies f spaced
    evenly from 1 to half of `max_resolution` in each dimension.

    pos (M, d) in [-1, 1] -> (M, C).
    """
    bands = torch.stack(
        [torch.linspace(1.0, res / 2, num_bands, device=pos.device) for res in max_resolution]
    )
    angles = math.pi * (pos[:, :, None] * bands).flatten(1)
    parts = [pos] if concat_pos else []
    parts.append(torch.sin(angles))
    if not sine_only:
        parts.append(torch.cos(angles))
    return torch.cat(parts, dim=-1)


class PerceiverTrainablePositionEncoding(nn.Module):
    """A learned table with one row for each position of `index_dims`."""

    def __init__(self, index_dims: int | Sequence[int], num_channels: int = 128) -> None:
        super().__init__()
        self.index_dims = (index_dims,) if isinstance(index_dims, int) else tuple(index_dims)
        self.num_channels = num_channels
        self.position_embeddings = nn.Parameter(
            torch.randn(math.prod(self.index_dims), num_channels)
        )

    @property
    def num_dimensions(self) -> int:
        """Number of index dimensions."""
        return len(self.index_dims)

    def output_size(self) -> int:
        """Channels of a row."""
        return self.num_channels

    def forward(self, size: tuple[int, ...] | None = None) -> Tensor:
        """The table (positions, channels); interpolated for a grid `size`, such as (height, width),
        that is not the trained one."""
        table: Tensor = self.position_embeddings
        if size is None or size == (trained := self.grid(len(size))):
            return table
        grid = table.reshape(1, *trained, -1).movedim(-1, 1)
        mode = INTERPOLATIONS[len(size)]
        return F.interpolate(grid, size=size, mode=mode, align_corners=False)[0].flatten(1).T

    def grid(self, dimensions: int) -> tuple[int, ...]:
        """The trained grid: `index_dims`, or the square that a count of an image's positions is.

        ValueError where the table is no grid of so many dimensions.
        """
        if len(self.index_dims) == dimensions:
            return self.index_dims
        count = math.prod(self.index_dims)
        side = math.isqrt(count)
        if dimensions != 2 or side**2 != count:
            raise ValueError(
                f"the {count} learned positions of {self.index_dims} are no grid of {dimensions} "
                "dimensions that could be interpolated: give index_dims as the grid"
            )
        return side, side


class PerceiverFourierPositionEncoding(nn.Module):
    """Fourier features of a grid, or of given positions. Nothing is learned."""

    def __init__(
        self,
        num_bands: int,
        max_resolution: Sequence[int],
        concat_pos: bool = True,
        sine_only: bool = False,
    ) -> None:
        super().__init__()
        self.num_bands = num_bands
        self.max_resolution = tuple(max_resolution)
        self.concat_pos = concat_pos
        self.sine_only = sine_only

    @property
    def num_dimensions(self) -> int:
        """Number of index dimensions."""
        return len(self.max_resolution)

    def output_size(self) -> int:
        """Channels of a feature vector."""
        dims = self.num_dimensions
        phases = 1 if self.sine_only else 2
        return phases * self.num_bands * dims + (dims if self.concat_pos else 0)

    def features(self, pos: Tensor) -> Tensor:
        """(M, d) positions in [-1, 1] -> (M, C), float32."""
        return fourier_features(
            pos, self.num_bands, self.max_resolution, self.concat_pos, self.sine_only
        )

    def forward(
        self, index_dims: Sequence[int], device: torch.device, dtype: torch.dtype
    ) -> Tensor:
        """Features of every point of a grid whose coordinates go from -1 to 1, both included, first
        index slowest: (prod(index_dims), C), computed in float32 whatever `dtype` is.

        A coordinate has few values: the sines of each are taken once and laid out over the grid.
        This is quick enough to keep nothing, which for a large image would outweigh the model.
        """
        blocks = [1] * self.concat_pos + [self.num_bands] * (1 if self.sine_only else 2)
        axes = [
            fourier_features(
                torch.linspace(-1.0, 1.0, n, device=device)[:, None],
                self.num_bands,
                (resolution,),
                self.concat_pos,
                self.sine_only,
            )
            .to(dtype)
            .split(blocks, dim=-1)
            for n, resolution in zip(index_dims, self.max_resolution, strict=True)
        ]
        laid_out = []
        for block in zip(*axes, strict=True):  # the positions, the sines, the cosines
            for dimension, values in enumerate(block):
                shape = [1] * len(index_dims)
                shape[dimension] = -1
                laid_out.append(values.view(*shape, values.shape[-1]).expand(*index_dims, -1))
        return torch.cat(laid_out, dim=-1).flatten(0, -2)


PositionEncoding = PerceiverTrainablePositionEncoding | PerceiverFourierPositionEncoding


def build_position_encoding(
    position_encoding_type: str,
    out_channels: int | None = None,
    project_pos_dim: int = -1,
    trainable_position_encoding_kwargs: dict[str, Any] | None = None,
    fourier_position_encoding_kwargs: dict[str, Any] | None = None,
) -> tuple[PositionEncoding, nn.Module]:
    """The encoding and its projection to `project_pos_dim` channels (identity unless positive).

    Raises ValueError for an unknown type or missing arguments.
    """
    encoding: PositionEncoding
    if position_encoding_type == "trainable":
        if not trainable_position_encoding_kwargs:
            raise ValueError("trainable positions need trainable_position_encoding_kwargs")
        encoding = PerceiverTrainablePositionEncoding(**trainable_position_encoding_kwargs)
    elif position_encoding_type == "fourier":
        if not fourier_position_encoding_kwargs:
            raise ValueError("fourier positions need fourier_position_encoding_kwargs")
        encoding = PerceiverFourierPositionEncoding(**fourier_position_encoding_kwargs)
    else:
        raise ValueError(
            f"position_encoding_type is {position_encoding_type!r}: use 'trainable' or 'fourier'"
        )
    if project_pos_dim <= 0:
        return encoding, nn.Identity()
    if out_channels is None:
        out_channels = encoding.output_size()
    return encoding, nn.Linear(out_channels, project_pos_dim)
