"""Large images as overlapping tiles, blended (the published recipe for optical flow)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

OVERLAP = 20  # pixels, at least; a quarter of tiles that are small themselves


@dataclass(frozen=True)
class Tile:
    """A tile's place; `count`: how often the published recipe computes it."""

    top: int
    left: int
    count: int


def tiles_of(size: tuple[int, int], tile: tuple[int, int]) -> list[Tile]:
    """Tiles (height, width) that cover an image of `size`, which is no smaller than one tile.

    The published recipe lists some places several times; here each is listed once with its count.
    """
    rows, columns = (_starts(n, t) for n, t in zip(size, tile, strict=True))
    return [
        Tile(top, left, vertical * horizontal)
        for top, vertical in rows.items()
        for left, horizontal in columns.items()
    ]


def _starts(length: int, tile: int) -> Counter[int]:
    overlap = min(OVERLAP, tile // 4)
    starts = list(range(0, length, tile - overlap))
    # All that would reach beyond the edge end at it, and so may the last one.
    return Counter(min(start, length - tile) for start in [*starts[:-1], length - tile])


def weights_of(tile: tuple[int, int]) -> NDArray[np.float32]:
    """(height, width): the distance of a pixel to the nearest edge of its tile, 1 at the edge."""
    height, width = (np.minimum(np.arange(n) + 1, n - np.arange(n)) for n in tile)
    return np.minimum(height[:, None], width[None]).astype(np.float32)


def pad_to(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, C) grown to at least `size` (height, width) by repeating its last row and column."""
    below, right = (max(0, n - have) for n, have in zip(size, image.shape[:2], strict=True))
    return np.pad(image, ((0, below), (0, right), (0, 0)), mode="edge")
