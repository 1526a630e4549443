"""Two frames of any size to the flow between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from perceiver_core.errors import InvalidInput
from perceiver_core.pipelines.base import Pipeline, Row, rows_within
from perceiver_core.pipelines.image_classification import decode_trusted
from perceiver_core.tiles import pad_to, starts_of, weights_of

Frame = NDArray[np.uint8]
Region = tuple[int, int, int, int]
MAX_STRIDE = 2**32  # more than any image has pixels, and counted in 64 bits


@dataclass(frozen=True)
class OpticalFlowInput:
    """Two encoded images of one size; `region` (top, left, height, width) in pixels, all if None;
    `stride`: every n-th pixel of it."""

    frame1: bytes
    frame2: bytes
    region: Region | None = None
    stride: int = 1


@dataclass(frozen=True)
class FramePair:
    """As OpticalFlowInput, decoded: RGB uint8 (H, W, 3)."""

    frame1: Frame
    frame2: Frame
    region: Region | None = None
    stride: int = 1


@dataclass(frozen=True)
class Flow:
    """float32 (h, w, 2): pixels to the right and down that each pixel of frame 1 moves."""

    flow: NDArray[np.float32]


class OpticalFlow(Pipeline[OpticalFlowInput | FramePair, Flow]):
    """PerceiverForOpticalFlow; a row is a tile of the model's own size."""

    task = "optical-flow"
    input_type = OpticalFlowInput
    media = True
    decode: Callable[[bytes], Frame] = staticmethod(decode_trusted)

    @cached_property
    def most_rows(self) -> int:
        """By the pixels of a tile."""
        return rows_within(math.prod(self.config.train_size))

    def check(self, item: OpticalFlowInput | FramePair) -> None:
        """Stride and region are possible for some image; decoded frames are images of one size."""
        if not _is_whole(item.stride) or not 1 <= item.stride <= MAX_STRIDE:
            raise InvalidInput(f"stride is {item.stride}: use a whole number, 1 to {MAX_STRIDE}")
        if item.region is not None and not _is_region(item.region):
            raise InvalidInput(
                f"region is {list(item.region)}: give [top, left, height, width] in whole pixels, "
                "the last two at least 1"
            )
        if isinstance(item, FramePair):
            _check_frames(item.frame1, item.frame2)
            _wanted(item.frame1.shape[:2], item.region, item.stride)

    def answer_bytes(self, item: OpticalFlowInput | FramePair, rows: list[Row]) -> int:
        """Two float32 for each pixel of the field."""
        _, height, width, _, _ = rows[0]["place"]
        return int(height * width) * 8

    def decoded(self, item: OpticalFlowInput | FramePair) -> FramePair:
        """Two frames of one size that hold the region."""
        if isinstance(item, FramePair):
            return item
        frames = self.decode(item.frame1), self.decode(item.frame2)
        pair = FramePair(*frames, item.region, item.stride)
        self.check(pair)
        return pair

    def row_count(self, item: OpticalFlowInput | FramePair) -> int:
        """Tiles that hold a wanted pixel."""
        pair = self.decoded(item)
        return self.tile_count(pair.frame1.shape[:2], pair.region, pair.stride)

    def tile_count(self, size: tuple[int, ...], region: Region | None, stride: int) -> int:
        """The same of frames of a size (height, width). Raises InvalidInput for a region that they
        do not hold."""
        vertical, horizontal = self._parts(size, region, stride)
        return len(vertical) * len(horizontal)

    def preprocess(self, item: OpticalFlowInput | FramePair) -> Iterator[Row]:
        """A row for each tile that holds a wanted pixel: its `frames` uint8 (2, h, w, 3), a copy;
        `wanted` int64 (5,), the first row and column of it that are wanted, how many of each, and
        their stride; `place` int64 (5,), how often the tile counts, the height and width of the
        answer, and where the tile's part of it begins.

        An image smaller than a tile is padded below and to the right.
        """
        pair = self.decoded(item)
        size = pair.frame1.shape[:2]
        vertical, horizontal = self._parts(size, pair.region, pair.stride)
        whole = [len(wanted) for wanted in _wanted(size, pair.region, pair.stride)]
        return (
            self._row(pair, whole, down, right)
            for down in map(_Part._make, vertical.tolist())
            for right in map(_Part._make, horizontal.tolist())
        )

    def _row(self, pair: FramePair, whole: list[int], down: _Part, right: _Part) -> Row:
        """Of the tile at one place of each axis."""
        height, width = self.config.train_size
        here = np.s_[down.start : down.start + height, right.start : right.start + width]
        tiles = [pad_to(f[here], (height, width)) for f in (pair.frame1, pair.frame2)]
        wanted = [down.inside, right.inside, down.number, right.number, pair.stride]
        place = [down.listed * right.listed, *whole, down.first, right.first]
        return {"frames": np.stack(tiles), "wanted": np.array(wanted), "place": np.array(place)}

    def _parts(
        self, size: tuple[int, ...], region: Region | None, stride: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of the tiles from top to bottom and from left to right, those with wanted pixels: a
        _Part each."""
        vertical, horizontal = _wanted(size, region, stride)
        height, width = self.config.train_size
        return _parts(vertical, size[0], height), _parts(horizontal, size[1], width)

    def forward(self, model: Any, rows: list[Row]) -> list[Row]:
        """`flow` float32 (h, w, 2) in pixels where it is wanted; `wanted` and `place` as they
        came."""
        from perceiver_core.pipelines.rows import flow_rows

        return [
            {"flow": flow, "wanted": row["wanted"], "place": row["place"]}
            for flow, row in zip(flow_rows(model, rows), rows, strict=True)
        ]

    def postprocess(self, item: OpticalFlowInput | FramePair, rows: Iterable[Row]) -> Flow:
        """The tiles blended: each pixel is a mean of its tiles, weighted by how far it lies from
        their edges."""
        weights = weights_of((self.config.train_size[0], self.config.train_size[1]))
        rows = iter(rows)
        first = next(rows)
        size = first["place"][1:3]
        total = np.zeros((*size, 1), np.float32)
        blended = np.zeros((*size, 2), np.float32)
        for row in chain([first], rows):
            y, x, high, wide, stride = row["wanted"]
            count, _, _, top, left = row["place"]
            weight = weights[y::stride, x::stride][:high, :wide, None] * np.float32(count)
            here = np.s_[top : top + high, left : left + wide]
            total[here] += weight
            blended[here] += weight * row["flow"]
        blended /= total
        return Flow(blended)


def _is_region(region: tuple[int, ...]) -> bool:
    """Whether it is one of some image."""
    four = len(region) == 4 and all(map(_is_whole, region))
    return four and min(region) >= 0 and min(region[2:]) >= 1


def _is_whole(number: object) -> bool:
    """Types do not stop callers of Python; numpy's whole numbers are no `int`."""
    return isinstance(number, Integral)


def _check_frames(frame1: Frame, frame2: Frame) -> None:
    """Two images of one size, which has at least a pixel. Raises InvalidInput."""
    for name, frame in (("frame1", frame1), ("frame2", frame2)):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise InvalidInput(
                f"{name} is {frame.dtype} {frame.shape}: give uint8 (height, width, 3), RGB"
            )
    if frame1.shape != frame2.shape:
        raise InvalidInput(
            f"frame2 is {_size(frame2)}, frame1 is {_size(frame1)}: both must have one size"
        )
    if frame1.size == 0:
        raise InvalidInput(f"the frames are {_size(frame1)}: give images of at least one pixel")


def _wanted(size: tuple[int, ...], region: Region | None, stride: int) -> tuple[range, range]:
    """The rows and the columns of an image whose flow is wanted."""
    top, left, height, width = region or (0, 0, size[0], size[1])
    if top + height > size[0] or left + width > size[1]:
        raise InvalidInput(
            f"region is {[top, left, height, width]}, but the frames are {size[0]}×{size[1]}: it "
            "must lie inside"
        )
    return range(top, top + height, stride), range(left, left + width, stride)


class _Part(NamedTuple):
    """What is wanted of the tiles that start at one place of an axis."""

    start: int
    listed: int  # how often, by the published recipe
    first: int  # the number, among all that is wanted, of the first in the tile
    inside: int  # where that lies in the tile
    number: int  # how many there are


def _parts(wanted: range, length: int, tile: int) -> NDArray[np.int64]:
    """The tiles along an axis that hold something wanted, a _Part each: a strip of pixels may have
    hundreds of thousands, to be counted only."""
    starts, counts = starts_of(max(length, tile), tile)
    first = np.maximum(0, -((wanted.start - starts) // wanted.step))
    end = np.minimum(len(wanted), -((wanted.start - starts - tile) // wanted.step))
    inside = wanted.start + first * wanted.step - starts
    return np.stack([starts, counts, first, inside, end - first], axis=1)[end > first]


def _size(frame: Frame) -> str:
    return f"{frame.shape[0]}×{frame.shape[1]}"
