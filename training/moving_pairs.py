"""Pairs of frames with a known flow: a photograph and cut-outs, each moved by an affine map.

Points are pixels (x, y) of a frame, its centre the origin; a map is (B, 2, 3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

CUTOUTS = 3  # at most, in one pair
CUTOUT_SHARE = 0.6
STILL_SHARE = 0.2  # of the photographs: a camera that stands
LARGE_SHARE = 0.3  # of the shifts are drawn evenly up to three times `reach`
LEVEL_SHARE = 0.5  # of those go along a row: cameras pan
STEREO_SHARE = 0.4  # of the pairs are what two eyes see: all of it further left, what is near most


@dataclass(frozen=True)
class Pictures:
    """Photographs uint8 (n, 3, H, W) and cut-outs with their opacity uint8 (m, 4, S, S)."""

    photos: Tensor
    cutouts: Tensor


@dataclass(frozen=True)
class Scene:
    """Two frames (B, 3, P) in [0, 1] and the flow (B, P, 2) in pixels, P = height x width."""

    before: Tensor
    after: Tensor
    flow: Tensor


class Director:
    """Draws pairs of `size` (height, width) with shifts of about `reach` pixels, and stereo pairs
    with up to `parallax` pixels of the photograph, and of a cut-out before it."""

    def __init__(
        self, pictures: Pictures, size: tuple[int, int], seed: int, parallax: float
    ) -> None:
        self.pictures = pictures
        self.size = size
        self.parallax = parallax
        self.random = torch.Generator().manual_seed(seed)
        height, width = size
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        centre = torch.tensor([(width - 1) / 2, (height - 1) / 2])
        self.points = torch.stack([x, y], dim=-1).flatten(0, 1)[None] - centre

    def pairs(self, count: int, reach: float) -> tuple[Tensor, Tensor]:
        """Frames float32 (B, 2, 3, H, W) in [-1, 1] and flow float32 (B, H, W, 2) in pixels."""
        motion = self._motion(count, reach)
        still = self._even((count, 1, 1), 0, 1) < STILL_SHARE
        motion = torch.where(still, torch.eye(2, 3), motion)
        stereo = self._even((count, 1, 1), 0, 1) < STEREO_SHARE
        motion = torch.where(stereo, self._parallax(count), motion)
        scene = self._background(motion)
        for _ in range(CUTOUTS):
            own = torch.where(stereo, self._parallax(count), self._motion(count, 0.5 * reach))
            scene = self._with_cutout(scene, motion, own)
        frames = torch.stack([scene.before, scene.after], dim=1).unflatten(3, self.size)
        return self._photographed(frames), scene.flow.unflatten(1, self.size)

    def _background(self, motion: Tensor) -> Scene:
        photos = self._some(self.pictures.photos, len(motion))
        look = self._map(
            self._even(len(motion), 0.5, 2.0), self._even(len(motion), -math.pi, math.pi)
        )
        half = torch.tensor([photos.shape[3], photos.shape[2]]) / 2
        look[:, :, 2] = self._even((len(motion), 2), -0.7, 0.7) * half
        # What stands at q in the second frame stood at motion^-1(q) in the first.
        return Scene(
            sampled(photos, apply(look, self.points), "reflection"),
            sampled(photos, apply(look, apply(inverse(motion), self.points)), "reflection"),
            apply(motion, self.points) - self.points,
        )

    def _with_cutout(self, scene: Scene, background: Tensor, motion: Tensor) -> Scene:
        """Some of the pairs get a cut-out: carried by the background, and moved on its own."""
        count = len(background)
        cutouts = self._some(self.pictures.cutouts, count)
        scale = cutouts.shape[-1] / (max(self.size) * self._even(count, 0.25, 1.0))
        look = self._map(scale, self._even(count, -0.5, 0.5))
        place = self._even((count, 2), -0.5, 0.5) * torch.tensor(self.size[::-1])
        motion[:, :, 2] += apply(background, place[:, None])[:, 0] - place
        own = self.points - place[:, None]
        first = sampled(cutouts, apply(look, own), "zeros")
        second = sampled(cutouts, apply(look, apply(inverse(motion), own)), "zeros")
        here = self._even((count, 1, 1), 0, 1) < CUTOUT_SHARE
        covered = (first[:, 3, :, None] > 0.5) & here
        return Scene(
            over(first * here, scene.before),
            over(second * here, scene.after),
            torch.where(covered, apply(motion, own) - own, scene.flow),
        )

    def _motion(self, count: int, reach: float) -> Tensor:
        """A small turn, a small zoom and a shift."""
        zoom = torch.exp(0.04 * self._normal(count))
        motion = self._map(zoom, 0.06 * self._normal(count))
        small, large = reach * self._normal((count, 2)), self._even((count, 2), -3.0, 3.0) * reach
        is_level = self._even(count, 0, 1) < LEVEL_SHARE
        large[is_level, 1] *= 0.05
        is_large = self._even((count, 1), 0, 1) < LARGE_SHARE
        motion[:, :, 2] = torch.where(is_large, large, small)
        return motion

    def _parallax(self, count: int) -> Tensor:
        """Rows slide left and stay in line; a plane that is turned away is stretched or sheared."""
        motion = torch.eye(2, 3).repeat(count, 1, 1)
        motion[:, 0, :2] += 0.06 * self._normal((count, 2))
        motion[:, 0, 2] = -self._even(count, 0, self.parallax)
        return motion

    def _photographed(self, frames: Tensor) -> Tensor:
        """One exposure and colour for both frames, a little drift for the second, noise."""
        count = len(frames)
        gain, tint = (
            self._even((count, 1, 1, 1, 1), 0.7, 1.3),
            self._even((count, 1, 3, 1, 1), -0.1, 0.1),
        )
        drift = 1 + 0.03 * self._normal((count, 2, 1, 1, 1))
        noise = self._even((count, 1, 1, 1, 1), 0, 0.02) * self._normal(tuple(frames.shape))
        seen = (frames - 0.5) * gain * drift + 0.5 + tint + noise
        return seen.clamp(0, 1) * 2 - 1

    def _map(self, scale: Tensor, angle: Tensor) -> Tensor:
        """Turns and scales (B,) about the origin."""
        sin, cos = scale * angle.sin(), scale * angle.cos()
        zero = torch.zeros_like(sin)
        maps: Tensor = torch.stack([cos, -sin, zero, sin, cos, zero], dim=-1).unflatten(1, (2, 3))
        return maps

    def _some(self, pictures: Tensor, count: int) -> Tensor:
        return pictures[torch.randint(len(pictures), (count,), generator=self.random)]

    def _even(self, shape: int | tuple[int, ...], low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=self.random)

    def _normal(self, shape: int | tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self.random)


def apply(maps: Tensor, points: Tensor) -> Tensor:
    """Maps (B, 2, 3) of points (B or 1, P, 2)."""
    return points @ maps[:, :, :2].transpose(1, 2) + maps[:, None, :, 2]


def inverse(maps: Tensor) -> Tensor:
    """The maps that undo these."""
    back = torch.linalg.inv(maps[:, :, :2])
    return torch.cat([back, -back @ maps[:, :, 2:]], dim=-1)


def sampled(pictures: Tensor, points: Tensor, beyond: str) -> Tensor:
    """Pictures uint8 (B, C, H, W) at points (B, P, 2) of their own, bilinear -> (B, C, P) in
    [0, 1]."""
    half = torch.tensor([pictures.shape[3], pictures.shape[2]]) / 2
    grid = (points / half)[:, None]
    seen: Tensor = F.grid_sample(
        pictures.float() / 255, grid, padding_mode=beyond, align_corners=False
    )[:, :, 0]
    return seen


def over(cutouts: Tensor, pictures: Tensor) -> Tensor:
    """Cut-outs (B, 4, P) laid over pictures (B, 3, P)."""
    opacity = cutouts[:, 3:]
    return cutouts[:, :3] * opacity + pictures * (1 - opacity)
