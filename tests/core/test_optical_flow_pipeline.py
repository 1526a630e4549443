"""Optical flow of images of any size: the published recipe's answer, without its waste."""

from __future__ import annotations

import math
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perceiver_core import InvalidInput
from perceiver_core.pipelines import base, open_pipeline, rows
from perceiver_core.pipelines.optical_flow import FramePair, OpticalFlowInput
from perceiver_core.tasks import load_model
from perceiver_core.tasks.optical_flow import flow_patches
from perceiver_core.tiles import pad_to
from tests import tiny
from tests.core.test_tiles import recipe
from tests.server.pictures import png_of

TILE = (16, 24)
SIZES = st.tuples(st.integers(1, 50), st.integers(1, 60))


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    folder = tiny.make_optical_flow(tmp_path_factory.mktemp("flow"))
    return open_pipeline(folder), load_model(folder, "reference", "cpu", "auto")


def frames(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    pair = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    return pair[0], pair[1]


def as_published(model, pair):
    """Every tile of the recipe, those it lists twice too, blended; in pixels."""
    size = [max(n, t) for n, t in zip(pair[0].shape, TILE, strict=False)]
    padded = np.stack([pad_to(frame, TILE) for frame in pair])
    flow, total = np.zeros((*size, 2)), np.zeros((*size, 1))
    y, x = np.mgrid[: TILE[0], : TILE[1]]
    weight = np.minimum(np.minimum(y + 1, TILE[0] - y), np.minimum(x + 1, TILE[1] - x))[..., None]
    for top in recipe(size[0], TILE[0], 4):
        for left in recipe(size[1], TILE[1], 6):
            here = np.s_[top : top + TILE[0], left : left + TILE[1]]
            tile = torch.from_numpy(padded[:, *here]).movedim(-1, 1)[None] / 255 * 2 - 1
            flow[here] += weight * model(flow_patches(tile)).logits[0].numpy()
            total[here] += weight
    return (20 * flow / total)[: len(pair[0]), : pair[0].shape[1]]


@settings(max_examples=20, deadline=None)
@given(SIZES)
def test_it_is_the_published_recipe(opened, size):
    """Smaller than a tile, of odd sizes, and of many tiles."""
    pipeline, model = opened
    pair = frames(size)
    found = pipeline(model, FramePair(*pair)).flow
    expected = as_published(model, pair)
    assert found.dtype == np.float32
    assert found.shape == (*size, 2)
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


@settings(max_examples=20, deadline=None)
@given(SIZES, st.data())
def test_a_region_is_the_part_of_the_whole(opened, size, data):
    pipeline, model = opened
    top, left = (data.draw(st.integers(0, n - 1)) for n in size)
    high, wide = data.draw(st.integers(1, size[0] - top)), data.draw(st.integers(1, size[1] - left))
    stride = data.draw(st.integers(1, 30))
    pair = frames(size)
    item = FramePair(*pair, (top, left, high, wide), stride)
    whole = pipeline(model, FramePair(*pair)).flow
    expected = whole[top : top + high : stride, left : left + wide : stride]
    found = pipeline(model, item).flow
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(whole).max()


def test_only_the_tiles_of_a_region_are_computed(opened):
    pipeline, _ = opened
    pair = frames((64, 96))
    assert len(list(pipeline.preprocess(FramePair(*pair)))) == 5 * 5
    assert len(list(pipeline.preprocess(FramePair(*pair, (0, 0, 3, 3))))) == 1


@settings(max_examples=50, deadline=None)
@given(SIZES, st.data())
def test_rows_are_counted_without_being_made(opened, size, data):
    pipeline, _ = opened
    top, left = (data.draw(st.integers(0, n - 1)) for n in size)
    high, wide = data.draw(st.integers(1, size[0] - top)), data.draw(st.integers(1, size[1] - left))
    item = FramePair(*frames(size), (top, left, high, wide), data.draw(st.integers(1, 60)))
    assert pipeline.row_count(item) == len(list(pipeline.preprocess(item)))


def test_a_strip_of_many_tiles_is_counted_too(opened):
    pipeline, _ = opened
    line = np.broadcast_to(np.uint8(0), (1, 25_000_000, 3))
    assert pipeline.row_count(FramePair(line, line)) == len(range(0, 25_000_000 - 24, 18)) + 1
    few = pipeline.row_count(FramePair(line, line, stride=1_000_000))
    assert 25 <= few <= 50  # some pixels lie in two tiles


def test_rows_hold_no_more_than_their_tiles(opened):
    pipeline, _ = opened
    pair = frames((64, 96))
    for row in pipeline.preprocess(FramePair(*pair, (0, 0, 40, 40))):
        for array in row.values():
            assert array.base is None or array.base.nbytes == array.nbytes
        assert not any(np.shares_memory(row["frames"], frame) for frame in pair)


def test_memory_is_bounded_whatever_the_size(opened, monkeypatch):
    """A few tiles run at a time, and a few queries of each; the answer is the same."""
    pipeline, model = opened
    item = FramePair(*frames((40, 60)))
    expected = pipeline(model, item).flow
    seen = []
    forward, decode = pipeline.forward, model.perceiver.decode

    def counted(model, rows):
        seen.append(len(rows))
        return forward(model, rows)

    monkeypatch.setattr(pipeline, "forward", counted)
    monkeypatch.setattr(base, "BATCH_OUTPUTS", 2 * math.prod(TILE))
    monkeypatch.delitem(pipeline.__dict__, "most_rows")
    monkeypatch.setattr(rows, "QUERIES", 50)

    def few(latents, queries):
        assert queries.shape[1] <= 50
        return decode(latents, queries)

    monkeypatch.setattr(model.perceiver, "decode", few)
    found = pipeline(model, item).flow
    assert max(seen) == 2
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def test_of_the_tiles_of_a_large_image_a_batch_is_kept(opened, monkeypatch):
    pipeline, model = opened
    monkeypatch.setitem(vars(pipeline), "most_rows", 2)
    tiles: list[weakref.ref[np.ndarray]] = []
    fields: list[weakref.ref[np.ndarray]] = []
    most = []

    def alive(references):
        return sum(reference() is not None for reference in references)

    def forward(model, rows):
        tiles.extend(weakref.ref(row["frames"]) for row in rows)
        answers = type(pipeline).forward(pipeline, model, rows)
        most.append((alive(tiles), alive(fields)))
        fields.extend(weakref.ref(answer["flow"]) for answer in answers)
        return answers

    monkeypatch.setattr(pipeline, "forward", forward)
    pair = FramePair(*frames((50, 60)))
    assert np.isfinite(pipeline(model, pair).flow).all()
    assert len(most) == pipeline.row_count(pair) / 2 > 4
    assert max(tiles for tiles, _ in most) == 2
    assert max(fields for _, fields in most) <= 2  # the first of all, the last of a batch
    assert alive(tiles) == alive(fields) == 0


def test_files_are_read_too(opened):
    pipeline, model = opened
    pair = frames((20, 30))
    found = pipeline(model, OpticalFlowInput(png_of(pair[0]), png_of(pair[1]))).flow
    assert np.array_equal(found, pipeline(model, FramePair(*pair)).flow)


GOOD = np.zeros((4, 6, 3), np.uint8)


def asked(region: Any = None, stride: Any = 1) -> FramePair:
    """Of types that the signature does not have, too."""
    return FramePair(GOOD, GOOD, region, stride)


def test_the_numbers_of_numpy_are_whole_numbers_too(opened):
    pipeline, model = opened
    found = pipeline(model, asked(tuple(np.array([1, 2, 3, 4])), np.int64(2))).flow
    assert found.shape == (2, 2, 2)


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        (FramePair(GOOD, GOOD[:3]), "frame2 is 3×6, frame1 is 4×6: both must have one size"),
        (FramePair(GOOD.astype(np.float32), GOOD), r"frame1 is float32 \(4, 6, 3\): give uint8"),
        (FramePair(GOOD, GOOD[..., 0]), r"frame2 is uint8 \(4, 6\): give uint8 \(height, width, 3"),
        (FramePair(np.zeros((4, 6, 4), np.uint8), GOOD), r"frame1 is uint8 \(4, 6, 4\)"),
        (FramePair(GOOD[:0], GOOD[:0]), "the frames are 0×6: give images of at least one pixel"),
        (asked(stride=0), r"stride is 0: use a whole number, 1 to 4294967296"),
        (asked(stride=2**62), "stride is 4611686018427387904: use a whole"),
        (asked(stride=2**70), "stride is 1180591620717411303424: use a whole"),
        (asked(stride=1.5), r"stride is 1\.5: use a whole number"),
        (asked(region=(0, 0, 2)), r"region is \[0, 0, 2\]: give \[top"),
        (asked(region=(0, 0.5, 2, 2)), r"\[0, 0\.5, 2, 2\]: .* in whole pixels"),
        (FramePair(GOOD, GOOD, region=(0, 0, 0, 3)), r"region is \[0, 0, 0, 3\]: give \[top"),
        (FramePair(GOOD, GOOD, region=(-1, 0, 2, 3)), r"region is \[-1, 0, 2, 3\]: give \[top"),
        (FramePair(GOOD, GOOD, region=(2, 0, 3, 3)), "the frames are 4×6: it must lie inside"),
    ],
)
def test_it_refuses(opened, item, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        opened[0].check(item)


def test_files_of_unequal_size_are_refused_once_they_are_read(opened):
    item = OpticalFlowInput(png_of(GOOD), png_of(GOOD[:, :5]))
    opened[0].check(item)
    with pytest.raises(InvalidInput, match="frame2 is 4×5, frame1 is 4×6"):
        opened[0].preprocess(item)
