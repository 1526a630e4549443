"""Procedural clips of a game: a sprite moves, something happens to it, and it sounds like it.

Places on the stage are (x, y) from -1 to 1, y downwards; times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from training.motions import EFFECTS, MOTIONS, STAR, Look

FRAMES, FRAME_RATE = 16, 25
SAMPLES, SAMPLE_RATE = 5120, 8000
SPRITE_SIZE = (0.32, 0.5)  # half the side of a sprite's square on the stage
_LOOK = tuple(Look.__dataclass_fields__)


@dataclass(frozen=True)
class Cast:
    """Sprites uint8 (n, 4, S, S) and sounds float32 (m, samples), each with its kind."""

    labels: list[str]
    sprites: Tensor
    sprite_labels: Tensor
    sounds: Tensor
    sound_labels: Tensor
    effects: Tensor
    grounds: Tensor


def cast(file: Path, part: str) -> Cast:
    """Those to train with (`part` is "") or those held out ("test_")."""
    arrays = np.load(file, allow_pickle=False)

    def pictures(name: str) -> Tensor:
        return torch.from_numpy(arrays[name]).movedim(-1, 1).contiguous()

    return Cast(
        [str(label) for label in arrays["labels"]],
        pictures(f"{part}sprites"),
        torch.from_numpy(arrays[f"{part}sprite_labels"]),
        torch.from_numpy(arrays[f"{part}sounds"]).float() / 2**15,
        torch.from_numpy(arrays[f"{part}sound_labels"]),
        pictures("effects"),
        pictures("grounds"),
    )


@dataclass(frozen=True)
class Clips:
    """Frames float32 (B, T, 3, H, W) in [0, 1], sound (B, S) in [-1, 1], kinds (B,)."""

    frames: Tensor
    audio: Tensor
    labels: Tensor


class Director:
    """Draws clips of `side` x `side` pixels, each the mean of detail x detail finer ones.

    Disguised, sprites come in other colours and sounds through a filter, each time another: to
    learn what happens rather than to whom.
    """

    def __init__(
        self, cast: Cast, side: int, seed: int, detail: int = 2, disguised: bool = False
    ) -> None:
        self.cast = cast
        self.disguised = disguised
        self.side = side
        self.detail = detail
        self.random = torch.Generator().manual_seed(seed)
        fine = side * detail
        middles = (torch.arange(fine) + 0.5) / fine * 2 - 1
        y, x = torch.meshgrid(middles, middles, indexing="ij")
        self.points = torch.stack([x, y], dim=-1)  # (H, W, 2)

    def clips(self, count: int, kinds: Tensor | None = None) -> Clips:
        """Onsets and all else at random, and the kinds (count,) unless they are given."""
        if kinds is None:
            kinds = torch.randint(len(self.cast.labels), (count,), generator=self.random)
        onset = self._even((count, 1), 0.04, 0.3)
        t = torch.arange(FRAMES)[None] / FRAME_RATE
        after = ((t - onset) * self._even((count, 1), 0.85, 1.2)).clamp(min=0)
        return Clips(self._frames(kinds, t, after), self._audio(kinds, onset), kinds)

    def _frames(self, kinds: Tensor, t: Tensor, after: Tensor) -> Tensor:
        count = len(kinds)
        looks = torch.zeros(2, len(_LOOK), count, FRAMES)
        light = torch.ones(count, FRAMES)
        effects = torch.full((count,), STAR)
        for number, name in enumerate(self.cast.labels):
            rows = (kinds == number).nonzero()[:, 0]
            motion = MOTIONS[name](t, after[rows])
            for i, look in enumerate((motion.actor, motion.effect)):
                for j, part in enumerate(_LOOK):
                    looks[i, j, rows] = torch.as_tensor(getattr(look, part)).float()
            light[rows] = torch.as_tensor(motion.light)
            effects[rows] = EFFECTS.get(name, STAR)
        pictures = self._background(count)[:, None].repeat(1, FRAMES, 1, 1, 1)
        sprites = self._of_kind(self.cast.sprites, self.cast.sprite_labels, kinds)
        if self.disguised:
            sprites = self._repainted(sprites)
        stage = torch.stack(
            [
                self._even((count,), -0.3, 0.3),
                self._even((count,), -0.3, 0.3),
                self._even((count,), *SPRITE_SIZE),
                torch.where(self._even((count,), 0, 1) < 0.5, -1.0, 1.0),
            ]
        )
        for sprite, look in zip((sprites, self.cast.effects[effects]), looks, strict=True):
            rows = (look[_LOOK.index("opacity")].amax(1) > 0).nonzero()[:, 0]
            layer = self._layer(sprite[rows], look[:, rows], stage[:, rows])
            opacity = layer[:, :, 3:]
            pictures[rows] = pictures[rows] * (1 - opacity) + layer[:, :, :3] * opacity
        lit = (pictures * light[..., None, None, None]).clamp(0, 1)
        shown = F.avg_pool2d(lit.flatten(0, 1), self.detail)
        return shown.reshape(count, FRAMES, *shown.shape[1:])

    def _repainted(self, sprites: Tensor) -> Tensor:
        """Every colour weaker or stronger; a third of the sprites with red, green and blue
        swapped."""
        order = torch.rand(len(sprites), 3, generator=self.random).argsort(dim=1)
        order = torch.where(self._even((len(sprites), 1), 0, 1) < 1 / 3, order, torch.arange(3))
        colours = sprites[:, :3].gather(1, order[..., None, None].expand_as(sprites[:, :3]))
        colours = (colours * self._even((len(sprites), 3, 1, 1), 0.6, 1.4)).clamp(max=255)
        return torch.cat([colours.byte(), sprites[:, 3:]], dim=1)

    def _layer(self, sprite: Tensor, looks: Tensor, stage: Tensor) -> Tensor:
        """Sprites (B, 4, S, S) as they look (parts of a Look, B, T) where they stand (x, y, size
        and mirroring, B): (B, T, 4, H, W)."""
        look = dict(zip(_LOOK, looks, strict=True))
        left, top, size, mirror = stage[..., None]
        x = (left + look["x"]) * mirror
        y = top + look["y"]
        offset = self.points - torch.stack([x, y], dim=-1).flatten(0, 1)[:, None, None]
        sin, cos = look["angle"].flatten().sin(), look["angle"].flatten().cos()
        turn = torch.stack([cos, sin, -sin, cos], dim=-1).unflatten(1, (1, 2, 2))
        thin = torch.stack([look["width"] * mirror, look["height"]], dim=-1) * size[..., None]
        thin = torch.where(thin.abs() < 0.02, 0.02, thin).flatten(0, 1)[:, None, None]
        grid = (offset @ turn.transpose(-1, -2)) / thin
        pictures = sprite[:, None].expand(-1, FRAMES, -1, -1, -1).flatten(0, 1).float() / 255
        seen = F.grid_sample(pictures, grid, align_corners=False)
        red, white, opacity = (
            look[key].flatten()[:, None, None, None] for key in ("red", "white", "opacity")
        )
        colours = seen[:, :3] / seen[:, 3:].clamp(min=0.05)  # beyond the edge lies black
        colours = colours + white * (1 - colours)
        colours = colours + red * (torch.tensor([1.0, 0.1, 0.1])[:, None, None] - colours)
        layer = torch.cat([colours.clamp(0, 1), seen[:, 3:] * opacity], dim=1)
        return layer.reshape(-1, FRAMES, *layer.shape[1:])

    def _background(self, count: int) -> Tensor:
        """A sky of two colours, before which most clips have a ground: (B, 3, H, W)."""
        fine = self.side * self.detail
        top, bottom = self._even((2, count, 3, 1, 1), 0.1, 1.0)
        down = torch.linspace(0, 1, fine)[:, None]
        sky = (top * (1 - down) + bottom * down).expand(-1, -1, -1, fine)
        chosen = torch.randint(len(self.cast.grounds), (count,), generator=self.random)
        grounds = self.cast.grounds[chosen].float() / 255  # (B, 3, 24, 8)
        tile = fine // 4
        grounds = F.interpolate(grounds, (3 * tile, tile)).repeat(1, 1, 1, 4)
        edge = self._even((count, 1, 1, 1), 0.55, 1.2) * fine
        row = torch.arange(fine)[:, None] - edge
        index = row.clamp(0, 3 * tile - 1).long().expand(-1, 3, -1, fine)
        return torch.where(row >= 0, grounds.gather(2, index), sky)

    def _audio(self, kinds: Tensor, onset: Tensor) -> Tensor:
        """A sound of each kind from its onset on, a little faster or slower, in some noise."""
        count = len(kinds)
        sounds = F.pad(self._of_kind(self.cast.sounds, self.cast.sound_labels, kinds), (1, 1))
        slowest, fastest = (0.78, 1.28) if self.disguised else (0.87, 1.15)
        speed = self._even((count, 1), slowest, fastest)
        place = (torch.arange(SAMPLES) - onset * SAMPLE_RATE) * speed + 1
        place = place.clamp(0, sounds.shape[1] - 2)
        before, share = place.long(), place.frac()
        heard = sounds.gather(1, before) * (1 - share) + sounds.gather(1, before + 1) * share
        if self.disguised:
            sharp = heard - heard.roll(1, 1)
            heard = heard + self._even((count, 1), -0.6, 1.2) * sharp
        noise = self._even((count, 1), 0, 0.004) * torch.randn(
            (count, SAMPLES), generator=self.random
        )
        return (heard * self._even((count, 1), 0.35, 1.0) + noise).clamp(-1, 1)

    def _of_kind(self, things: Tensor, labels: Tensor, kinds: Tensor) -> Tensor:
        """One of each kind's own, at random."""
        fits = (labels[None] == kinds[:, None]).float()
        return things[torch.multinomial(fits, 1, generator=self.random)[:, 0]]

    def _even(self, shape: tuple[int, ...], low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=self.random)
