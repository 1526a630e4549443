"""Large images as overlapping tiles, blended (the published recipe for optical flow)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

OVERLAP = 20  # pixels, at least; a quarter of tiles that are small themselves


def starts_of(length: int, tile: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where tiles start that cover a `length` no smaller than one of them, and how often the
    published recipe lists each; here each is listed once."""
    starts = np.arange(0, length, tile - min(OVERLAP, tile // 4))
    # All that would reach beyond the edge end at it, and so may the last one.
    starts[-1] = length - tile
    return np.unique(np.minimum(starts, length - tile), return_counts=True)


def weights_of(tile: tuple[int, int]) -> NDArray[np.float32]:
    """(height, width): the distance of a pixel to the nearest edge of its tile, 1 at the edge."""
    height, width = (np.minimum(np.arange(n) + 1, n - np.arange(n)) for n in tile)
    return np.minimum(height[:, None], width[None]).astype(np.float32)


def pad_to(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, C) grown to at least `size` (height, width) by repeating its last row and column."""
    below, right = (max(0, n - have) for n, have in zip(size, image.shape[:2], strict=True))
    if below == right == 0:
        return image
    return np.pad(image, ((0, below), (0, right), (0, 0)), mode="edge")
