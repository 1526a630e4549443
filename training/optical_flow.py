"""tiny-flow: where every pixel went between two frames."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from perceiver_core.attention import MultiHeadAttention, PerceiverLayer
from perceiver_core.checkpoint import PreTrainedModel
from perceiver_core.config import PerceiverConfig
from perceiver_core.decoders import PerceiverOpticalFlowDecoder
from perceiver_core.tasks.optical_flow import PIXELS, PerceiverForOpticalFlow, flow_patches
from training.moving_pairs import Director, Pictures
from training.optimise import LossFunction

MODEL = PerceiverForOpticalFlow
PEAK_LEARNING_RATE = 2e-3
BATCH = 32
QUERIES = 384  # pixels of a pair whose flow is asked for, drawn at random
TILE = (32, 48)
SPACING = 4  # pixels from one latent's window to the next
REACH = 3.0  # pixels: standard deviation of the shifts


class Data:
    """Photographs and cut-outs to train, others to test, and real pairs."""

    def __init__(self, file: Path) -> None:
        arrays = np.load(file, allow_pickle=False)
        self.train, self.test = (
            Pictures(_channels_first(arrays[f"{p}photos"]), _channels_first(arrays[f"{p}cutouts"]))
            for p in ("", "test_")
        )
        self.real: dict[str, NDArray[Any]] = {
            key: arrays[key] for key in arrays.files if key.endswith(("frames", "flow"))
        }


def _channels_first(pictures: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(pictures).movedim(-1, 1).contiguous()


def config(data: Data) -> PerceiverConfig:
    """A latent for every 4 x 4 pixels of a 32 x 48 tile, 192 channels, 5 self-attention layers."""
    return PerceiverConfig(
        num_latents=TILE[0] * TILE[1] // SPACING**2,
        d_latents=192,
        d_model=322,
        num_self_attends_per_block=5,
        num_self_attention_heads=6,
        num_cross_attention_heads=1,
        self_attention_widening_factor=2,
        attention_probs_dropout_prob=0.0,
        train_size=list(TILE),
    )


def loss_function(data: Data, device: torch.device, rng: np.random.Generator) -> LossFunction:
    """Mean end-point error in pixels at some pixels of fresh pairs."""
    director = Director(data.train, TILE, int(rng.integers(1 << 31)))

    def loss(model: PreTrainedModel) -> Tensor:
        frames, flow = director.pairs(BATCH, REACH)
        chosen = torch.randperm(TILE[0] * TILE[1], generator=director.random)[:QUERIES]
        wanted = flow.flatten(1, 2)[:, chosen].to(device)
        found = flow_at(model, frames.to(device), chosen.to(device))
        error: Tensor = (found - wanted).norm(dim=-1).mean()
        return error

    return loss


def flow_at(model: PreTrainedModel, frames: Tensor, chosen: Tensor) -> Tensor:
    """Flow float32 (B, Q, 2) in pixels at flat indices (Q,) of frames (B, 2, 3, H, W)."""
    assert isinstance(model, PerceiverForOpticalFlow)
    perceiver = model.perceiver
    pixels = perceiver.preprocess(flow_patches(frames)).inputs
    latents = perceiver.encoder.process(perceiver.attend(pixels))
    flow: Tensor = perceiver.decode(latents, pixels[:, chosen])
    return flow.flatten(1, -2).float() * PIXELS


def prepare_model(model: PreTrainedModel) -> None:
    """Windows for the latents to look through, queries that ask the latents around them."""
    assert isinstance(model, PerceiverForOpticalFlow)
    look_around(model)


@torch.no_grad()
def look_around(model: PerceiverForOpticalFlow) -> None:
    """Start as a grid of windows: latent i looks at the pixels around its place, a pixel's query
    asks the latents around it, and most heads of the trunk look at a neighbour some pixels away.

    Places are coded by the Fourier features of the pixels themselves; a shift is a rotation.
    """
    height, width = model.config.train_size
    code = _Code(height, width)
    perceiver = model.perceiver
    latents = perceiver.embeddings.latents
    latents.mul_(0.3)
    y, x = torch.meshgrid(
        torch.arange(height // SPACING) * SPACING + (SPACING - 1) / 2,
        torch.arange(width // SPACING) * SPACING + (SPACING - 1) / 2,
        indexing="ij",
    )
    centres = torch.stack([y.flatten(), x.flatten()], dim=-1)
    latents[:, : code.channels] = code.of(centres)
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
        self.middle = torch.tensor([(height - 1) / 2, (width - 1) / 2])
        first = self.FEATURES + 2
        sines = torch.stack([first + chosen, first + 64 + chosen])
        self.pixels = torch.stack([sines, sines + 128], dim=-1)  # (2, BANDS, sine and cosine)
        self.own = torch.arange(4 * self.BANDS).reshape(2, self.BANDS, 2)
        self.channels = 4 * self.BANDS
        self.weights = torch.exp(-((self.rates * 2.0) ** 2) / 2).sqrt()

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


def score(model: PreTrainedModel, data: Data) -> dict[str, float]:
    """Mean end-point error in pixels on held-out synthetic pairs, zero flow beside it."""
    model.eval()
    director = Director(data.test, TILE, 7)
    errors, zeros = [], []
    everywhere = torch.arange(TILE[0] * TILE[1])
    with torch.inference_mode():
        for _ in range(20):
            frames, flow = director.pairs(32, REACH)
            found = flow_at(model, frames.to(model.device), everywhere.to(model.device))
            errors.append((found.cpu() - flow.flatten(1, 2)).norm(dim=-1).mean())
            zeros.append(flow.norm(dim=-1).mean())
    return {"epe": float(torch.stack(errors).mean()), "zero_epe": float(torch.stack(zeros).mean())}
