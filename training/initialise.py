"""Starting weights that learn fast at these sizes."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from perceiver_core.attention import MultiHeadAttention
from perceiver_core.checkpoint import PreTrainedModel
from perceiver_core.decoders import PerceiverBasicDecoder
from perceiver_core.model import PerceiverModel


def rates(channels: int) -> Tensor:
    """(channels / 2,): radians a position, for wavelengths from 4 to 8,000 positions."""
    return torch.exp(-torch.linspace(0.0, math.log(2000.0), channels // 2)) * (math.pi / 2)


def sinusoids(positions: int, channels: int) -> Tensor:
    """(positions, channels): sine and cosine pairs."""
    angles = torch.arange(positions)[:, None] * rates(channels)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :channels]


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
            parameter.copy_(sinusoids(*parameter.shape))
        elif name.endswith("preprocessor.embeddings.weight"):
            parameter.normal_(0.0, 0.7)
        elif name.endswith("output_position_encodings.position_embeddings"):
            rows, channels = parameter.shape
            parameter.copy_(sinusoids(rows, channels) if rows > 1 else torch.randn(1, channels))
        elif name.endswith("embeddings.latents"):
            parameter.normal_(0.0, 1.0)


@torch.no_grad()
def read_in_order(perceiver: PerceiverModel, span: int) -> None:
    """Start a text encoder as a row of overlapping windows: head h of latent i looks at byte
    `i * span / num_latents + h`. A decoder with a query for each byte starts by asking the latents
    whose windows hold that byte.

    Every latent then sees a few bytes in a row from the first step, which is what n-grams are made
    of; training moves the windows where it likes.
    """
    encoder = perceiver.encoder.cross_attention.attention.self
    channels = encoder.key.in_features
    latents = perceiver.embeddings.latents
    centres = torch.arange(latents.shape[0])[:, None] * (span / latents.shape[0])
    angles = centres * rates(channels)
    latents[:, :channels] = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
    _aim(encoder, channels, 1)
    decoder = perceiver.decoder
    if isinstance(decoder, PerceiverBasicDecoder):
        _aim(decoder.decoding_cross_attention.attention.self, channels, -1)


def _aim(attention: MultiHeadAttention, channels: int, step: int, gain: float = 2.0) -> None:
    """Head h of a query at place p attends most to keys at place p + h * step, where the first
    `channels` of both are sinusoids of their places: a shift of a sinusoid is a rotation."""
    width = attention.qk_per_head
    # Wavelengths from 5 to about 500 positions tell the places of a short text apart.
    pairs = torch.linspace(2, 0.64 * channels // 2, width // 2).long()
    for projection in (attention.query, attention.key):
        projection.weight.normal_(0.0, 0.02)
    for head in range(attention.num_heads):
        for slot, pair in enumerate(pairs.tolist()):
            row, column = head * width + 2 * slot, 2 * pair
            turn = rates(channels)[pair] * head * step
            attention.key.weight[row, column] += gain
            attention.key.weight[row + 1, column + 1] += gain
            attention.query.weight[row, column] += gain * turn.cos()
            attention.query.weight[row, column + 1] += gain * turn.sin()
            attention.query.weight[row + 1, column] -= gain * turn.sin()
            attention.query.weight[row + 1, column + 1] += gain * turn.cos()
