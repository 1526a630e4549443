"""Latents of optical flow as a grid of windows: how a model starts, and how it grows.

Latent i looks at the pixels around its place, a pixel's query asks the latents around it, and most
heads of the trunk look at a neighbour some pixels away.  Places are coded by the Fourier features
of the pixels themselves; a shift is a rotation.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from perceiver_core.attention import MultiHeadAttention, PerceiverLayer
from perceiver_core.decoders import PerceiverOpticalFlowDecoder
from perceiver_core.tasks.optical_flow import PerceiverForOpticalFlow

SPACING = 4  # pixels from one latent's window to the next


@torch.no_grad()
def look_around(model: PerceiverForOpticalFlow) -> None:
    """Makes a fresh model's latents, queries and heads look so, in place."""
    code = _Code(*model.config.train_size)
    perceiver = model.perceiver
    latents = perceiver.embeddings.latents
    latents.mul_(0.3)
    latents[:, : code.channels] = code.of_latents()
    encoder = perceiver.encoder
    own = encoder.cross_attention.attention.self
    code.aim(own, 0, (own.query, code.own), (own.key, code.pixels), sharpness=1.0)
    assert isinstance(perceiver.decoder, PerceiverOpticalFlowDecoder)
    decoder = perceiver.decoder.decoder.decoding_cross_attention.attention.self
    code.aim(decoder, 0, (decoder.query, code.pixels), (decoder.key, code.own), sharpness=1.5)
    random = torch.Generator().manual_seed(1)
    for layer in encoder.self_attends:
        attention = cast(PerceiverLayer, layer).attention.self
        for head in range(attention.num_heads - 2):
            shift = 6.0 * torch.randn(2, generator=random)
            slots = ((attention.query, code.own), (attention.key, code.own))
            code.aim(attention, head, *slots, sharpness=0.5, shift=shift)


@torch.no_grad()
def grow(model: PerceiverForOpticalFlow, larger: PerceiverForOpticalFlow) -> None:
    """Gives a model of a larger tile what a smaller one has learned, in place."""
    weights = dict(model.state_dict())
    before, after = _Code(*model.config.train_size), _Code(*larger.config.train_size)
    latents = weights["perceiver.embeddings.latents"].clone()
    latents[:, : before.channels] -= before.of_latents()
    grid = latents.T.unflatten(1, before.grid)[None]
    learned = F.interpolate(grid, after.grid, mode="bilinear")[0].flatten(1).T.clone()
    learned[:, : after.channels] += after.of_latents()
    larger.load_state_dict(weights | {"perceiver.embeddings.latents": learned})


class _Code:
    """Sines and cosines of a place, a few of those that the pixels' Fourier features have."""

    BANDS = 8  # of each dimension: as many as a head of the trunk has room for
    FEATURES = 64  # channels of a pixel before its position: then y, x, and the sines and cosines

    def __init__(self, height: int, width: int) -> None:
        chosen = torch.linspace(0, 0.45 * 63, self.BANDS).round().long()
        self.rates = torch.stack(
            [
                torch.linspace(1.0, n / 2, 64)[chosen] * 2 * math.pi / (n - 1)
                for n in (height, width)
            ]
        )  # (2, BANDS) radians a pixel
        self.grid = (height // SPACING, width // SPACING)
        self.middle = torch.tensor([(height - 1) / 2, (width - 1) / 2])
        first = self.FEATURES + 2
        sines = torch.stack([first + chosen, first + 64 + chosen])
        self.pixels = torch.stack([sines, sines + 128], dim=-1)  # (2, BANDS, sine and cosine)
        self.own = torch.arange(4 * self.BANDS).reshape(2, self.BANDS, 2)
        self.channels = 4 * self.BANDS
        self.weights = torch.exp(-((self.rates * 2.0) ** 2) / 2).sqrt()

    def of_latents(self) -> Tensor:
        """(N, channels) of the middles of the latents' windows."""
        y, x = (torch.arange(n) * SPACING + (SPACING - 1) / 2 for n in self.grid)
        return self.of(torch.cartesian_prod(y, x))

    def of(self, places: Tensor) -> Tensor:
        """(P, 2) pixels -> (P, channels)."""
        angles = (places - self.middle)[:, :, None] * self.rates
        return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)

    def aim(
        self,
        attention: MultiHeadAttention,
        head: int,
        query: tuple[torch.nn.Linear, Tensor],
        key: tuple[torch.nn.Linear, Tensor],
        sharpness: float,
        shift: Tensor | None = None,
    ) -> None:
        """A query at p attends most to keys at p + shift; each side says where its code stands."""
        start = head * attention.qk_per_head
        rows = slice(start, start + self.channels)
        turns = self.rates * (torch.zeros(2) if shift is None else shift)[:, None]
        gain = math.sqrt(sharpness * math.sqrt(attention.qk_per_head)) * self.weights
        for (projection, columns), turned in ((query, turns), (key, torch.zeros_like(turns))):
            projection.weight[rows] *= 0.1
            for dim in range(2):
                for band in range(self.BANDS):
                    row = start + 2 * (dim * self.BANDS + band)
                    sine, cosine = columns[dim, band].tolist()
                    g, turn = gain[dim, band], turned[dim, band]
                    projection.weight[row, sine] += g * turn.cos()
                    projection.weight[row, cosine] += g * turn.sin()
                    projection.weight[row + 1, sine] -= g * turn.sin()
                    projection.weight[row + 1, cosine] += g * turn.cos()
