"""Tiles: the places of the published recipe, each once."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perceiver_core.tiles import pad_to, starts_of, weights_of

TRAIN_SIZE = (368, 496)


def recipe(length: int, tile: int, overlap: int) -> list[int]:
    """Starts along one axis as published; a tile that would reach beyond the edge ends at it."""
    starts = list(range(0, length, tile - overlap))
    starts[-1] = length - tile
    return [min(start, length - tile) for start in starts]


@pytest.mark.parametrize(
    ("size", "rows", "columns", "computed"),
    [
        ((368, 496), [0], [0], 4),
        ((436, 1024), [0, 68], [0, 476, 528], 6),
        ((480, 640), [0, 112], [0, 144], 4),
        ((540, 960), [0, 172], [0, 464], 6),
        ((716, 496), [0, 348], [0], 6),
        ((720, 1280), [0, 348, 352], [0, 476, 784], 9),
        ((1080, 1920), [0, 348, 696, 712], [0, 476, 952, 1424], 20),
    ],
)
def test_places_of_well_known_sizes(size, rows, columns, computed):
    vertical, horizontal = (
        starts_of(length, tile) for length, tile in zip(size, TRAIN_SIZE, strict=True)
    )
    assert (vertical[0].tolist(), horizontal[0].tolist()) == (rows, columns)
    assert vertical[1].sum() * horizontal[1].sum() == computed


@given(st.integers(1, 60), st.integers(0, 200))
def test_every_place_of_the_recipe_once_with_its_count(tile, more):
    length = tile + more
    starts, counts = starts_of(length, tile)
    expected = Counter(recipe(length, tile, min(20, tile // 4)))
    assert dict(zip(starts.tolist(), counts.tolist(), strict=True)) == expected
    covered = np.zeros(length, bool)
    for start in starts:
        covered[start : start + tile] = True
    assert covered.all()


def test_weights_are_distances_to_the_nearest_edge():
    assert weights_of((3, 5)).tolist() == [[1, 1, 1, 1, 1], [1, 2, 2, 2, 1], [1, 1, 1, 1, 1]]
    assert weights_of(TRAIN_SIZE).max() == 184


def test_small_images_grow_by_their_last_row_and_column():
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    grown = pad_to(image, (3, 4))
    assert np.array_equal(grown[:2, :2], image)
    assert (grown[2] == grown[1]).all()
    assert (grown[:, 2:] == grown[:, 1:2]).all()
    assert np.array_equal(pad_to(image, (1, 1)), image)
