"""Starting weights that learn fast at these sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from perceiver_core.attention import MultiHeadAttention
from perceiver_core.checkpoint import PreTrainedModel
from perceiver_core.model import PerceiverModel


def rates(channels: int) -> Tensor:
    """(channels / 2,): radians a position, for wavelengths from 4 to 8,000 positions."""
    return torch.exp(-torch.linspace(0.0, math.log(2000.0), channels // 2)) * (math.pi / 2)


def sinusoids(places: Tensor, rates: Tensor) -> Tensor:
    """(places, 2 * rates): sine and cosine pairs of places (any numbers)."""
    angles = places[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


@torch.no_grad()
def start(model: PreTrainedModel) -> None:
    """Matrices by Xavier; latents and queries of unit size; positions of text as sinusoids.

    The published 0.02 leaves attention all but uniform for many thousand steps: latents that
    differ and positions that can be told apart from the first step save most of a short run.
    """
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2 and name.endswith("weight") and "embeddings" not in name:
            nn.init.xavier_uniform_(parameter)
        elif name.endswith("position_embeddings.weight"):
            parameter.copy_(_in_order(*parameter.shape))
        elif name.endswith("preprocessor.embeddings.weight"):
            parameter.normal_(0.0, 0.7)
        elif name.endswith("output_position_encodings.position_embeddings"):
            rows, channels = parameter.shape
            parameter.copy_(_in_order(rows, channels) if rows > 1 else torch.randn(1, channels))
        elif name.endswith("embeddings.latents"):
            parameter.normal_(0.0, 1.0)


def _in_order(positions: int, channels: int) -> Tensor:
    return sinusoids(torch.arange(positions), rates(channels))


@torch.no_grad()
def read_in_order(perceiver: PerceiverModel, span: int) -> None:
    """Start a text encoder as a row of overlapping windows: head h of latent i looks at byte
    `i * span / num_latents + h`.

    Every latent then sees a few bytes in a row from the first step, which is what n-grams are made
    of; training moves the windows where it likes.
    """
    encoder = perceiver.encoder.cross_attention.attention.self
    channels = encoder.key.in_features
    latents = perceiver.embeddings.latents
    centres = torch.arange(latents.shape[0]) * (span / latents.shape[0])
    latents[:, :channels] = sinusoids(centres, rates(channels))
    # Wavelengths from 5 to about 500 positions tell the places of a short text apart.
    pairs = torch.linspace(2, 0.64 * channels // 2, encoder.qk_per_head // 2).long()
    aim(encoder, {head: float(head) for head in range(encoder.num_heads)}, rates(channels), pairs)


def aim(
    attention: MultiHeadAttention,
    shifts: Mapping[int, float],
    rates: Tensor,
    pairs: Tensor,
    gain: float = 2.0,
    query_start: int = 0,
) -> None:
    """Head h of a query at place p attends most to keys at place p + shifts[h]: a shift of a
    sinusoid is a rotation.

    Keys begin with the sinusoids of their places at `rates`, queries have theirs from channel
    `query_start` on; `pairs` (head width / 2,) of them are looked at.
    """
    width = attention.qk_per_head
    query, key = attention.query.weight, attention.key.weight
    for head, shift in shifts.items():
        rows = slice(head * width, (head + 1) * width)
        query[rows].normal_(0.0, 0.02)
        key[rows].normal_(0.0, 0.02)
        for slot, pair in enumerate(pairs.tolist()):
            row, column, turn = head * width + 2 * slot, 2 * pair, rates[pair] * shift
            key[row, column] += gain
            key[row + 1, column + 1] += gain
            column += query_start
            query[row, column] += gain * turn.cos()
            query[row, column + 1] += gain * turn.sin()
            query[row + 1, column] -= gain * turn.sin()
            query[row + 1, column + 1] += gain * turn.cos()
