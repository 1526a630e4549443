"""tiny-flow: where every pixel went between two frames."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from perceiver_core.checkpoint import PreTrainedModel
from perceiver_core.config import PerceiverConfig
from perceiver_core.tasks.optical_flow import PIXELS, PerceiverForOpticalFlow, flow_patches
from training.flow_scores import end_point_errors, flow_of, warp_errors
from training.moving_pairs import Director, Pictures
from training.optimise import LossFunction
from training.windows import SPACING, grow, look_around

MODEL = PerceiverForOpticalFlow
PEAK_LEARNING_RATE = 2e-3
PARALLAX = 0.3  # of the width of a tile: as far as is mostly still in sight
QUERIES = 384  # pixels of a pair whose flow is asked for, drawn at random


@dataclass(frozen=True)
class Stage:
    """Pairs of one size, how many at once, and the range of Director.pairs' reach: its logarithm
    is drawn evenly."""

    tile: tuple[int, int]
    batch: int
    reach: tuple[float, float]


# What windows see and how they are matched is learned fast on small tiles; large ones, into which
# larger motions fit, continue from that.
STAGES = {
    stage.tile: stage for stage in (Stage((32, 48), 32, (3, 3)), Stage((64, 96), 8, (0.7, 16)))
}
FIRST, LAST = STAGES
TEST_SIZE = (160, 240)


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


def config(data: Data, tile: tuple[int, int] = FIRST) -> PerceiverConfig:
    """A latent for every 4 x 4 pixels of a tile, 192 channels, 5 self-attention layers."""
    return PerceiverConfig(
        num_latents=tile[0] * tile[1] // SPACING**2,
        d_latents=192,
        d_model=322,
        num_self_attends_per_block=5,
        num_self_attention_heads=6,
        num_cross_attention_heads=1,
        self_attention_widening_factor=2,
        attention_probs_dropout_prob=0.0,
        train_size=list(tile),
    )


def loss_function(data: Data, device: torch.device, rng: np.random.Generator) -> LossFunction:
    """Mean square root of the end-point error in pixels at some pixels of fresh pairs of the
    model's size: the root keeps what moves far, and is often not to be found, from drowning what
    hardly moves."""
    directors = {
        tile: Director(data.train, tile, int(rng.integers(1 << 31)), PARALLAX * tile[1])
        for tile in STAGES
    }

    def loss(model: PreTrainedModel) -> Tensor:
        stage = STAGES[_tile(model)]
        director = directors[stage.tile]
        least, most = map(math.log, stage.reach)
        reach = math.exp(rng.uniform(least, most))
        frames, flow = director.pairs(stage.batch, reach)
        chosen = torch.randperm(math.prod(stage.tile), generator=director.random)[:QUERIES]
        wanted = flow.flatten(1, 2)[:, chosen].to(device)
        found = flow_at(model, frames.to(device), chosen.to(device))
        error = (found - wanted).norm(dim=-1)
        root: Tensor = (error + 0.01).sqrt().mean()
        return root

    return loss


def _tile(model: PreTrainedModel) -> tuple[int, int]:
    height, width = model.config.train_size
    return height, width


def flow_at(model: PreTrainedModel, frames: Tensor, chosen: Tensor) -> Tensor:
    """Flow float32 (B, Q, 2) in pixels at flat indices (Q,) of frames (B, 2, 3, H, W)."""
    assert isinstance(model, PerceiverForOpticalFlow)
    perceiver = model.perceiver
    pixels = perceiver.preprocess(flow_patches(frames)).inputs
    latents = perceiver.encoder.process(perceiver.attend(pixels))
    flow: Tensor = perceiver.decode(latents, pixels[:, chosen])
    return flow.flatten(1, -2).float() * PIXELS


def prepare_model(model: PreTrainedModel, data: Data) -> None:
    """Windows for the latents to look through, queries that ask the latents around them."""
    assert isinstance(model, PerceiverForOpticalFlow)
    look_around(model)


def next_stage(model: PreTrainedModel, data: Data) -> PreTrainedModel:
    """A trained model with more latents, for the last stage's tile; unchanged if it has them."""
    assert isinstance(model, PerceiverForOpticalFlow)
    if _tile(model) == LAST:
        return model
    larger = PerceiverForOpticalFlow(config(data, LAST))
    grow(model, larger)
    return larger


def score(model: PreTrainedModel, data: Data) -> dict[str, float]:
    """End-point errors in pixels and warp errors in grey levels, what they compete with beside."""
    model.eval()
    director = Director(data.test, TEST_SIZE, 7, PARALLAX * LAST[1])
    synthetic = [director.pairs(8, reach) for reach in (2.0, 4.0, 6.0)]
    return end_point_errors(model, synthetic, data.real) | warp_errors(model, data.real)


def drift(model: PreTrainedModel, fast: PreTrainedModel, data: Data) -> dict[str, float]:
    """How far, in pixels, bfloat16 moves the flow of a real pair: the mean and the largest."""
    frames = data.real["rubberwhale_frames"]
    apart = np.linalg.norm(flow_of(model, frames) - flow_of(fast, frames), axis=-1)
    return {"bfloat16_drift": float(apart.mean()), "bfloat16_largest_drift": float(apart.max())}
