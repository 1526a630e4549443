"""Two frames of any size to the flow between them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perceiver_core.errors import InvalidInput
from perceiver_core.pipelines.base import Pipeline, Row, rows_within
from perceiver_core.pipelines.image_classification import decode_trusted
from perceiver_core.tiles import pad_to, tiles_of, weights_of

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

    def preprocess(self, item: OpticalFlowInput | FramePair) -> list[Row]:
        """A row for each tile that holds a wanted pixel: its `frames` uint8 (2, h, w, 3); `wanted`
        int64 (5,), the first row and column of it that are wanted, how many of each, and their
        stride; `place` int64 (5,), how often the tile counts, the height and width of the answer,
        and where the tile's part of it begins.

        An image smaller than a tile is padded below and to the right.
        """
        frame1, frame2 = (
            self.decode(frame) if isinstance(frame, bytes) else frame
            for frame in (item.frame1, item.frame2)
        )
        _check_frames(frame1, frame2)
        vertical, horizontal = _wanted(frame1.shape[:2], item.region, item.stride)
        height, width = self.config.train_size
        pair = np.stack([pad_to(frame, (height, width)) for frame in (frame1, frame2)])
        rows = []
        for tile in tiles_of((pair.shape[1], pair.shape[2]), (height, width)):
            top, y, rows_wanted = _part(vertical, tile.top, height)
            left, x, columns_wanted = _part(horizontal, tile.left, width)
            if min(rows_wanted, columns_wanted) < 1:
                continue
            whole = (len(vertical), len(horizontal))
            rows.append(
                {
                    "frames": pair[:, tile.top : tile.top + height, tile.left : tile.left + width],
                    "wanted": np.array([y, x, rows_wanted, columns_wanted, item.stride]),
                    "place": np.array([tile.count, *whole, top, left]),
                }
            )
        return rows

    def forward(self, model: Any, rows: list[Row]) -> list[Row]:
        """`flow` float32 (h, w, 2) in pixels where it is wanted; `wanted` and `place` as they
        came."""
        from perceiver_core.pipelines.rows import flow_rows

        return [
            {"flow": flow, "wanted": row["wanted"], "place": row["place"]}
            for flow, row in zip(flow_rows(model, rows), rows, strict=True)
        ]

    def postprocess(self, item: OpticalFlowInput | FramePair, rows: list[Row]) -> Flow:
        """The tiles blended: each pixel is a mean of its tiles, weighted by how far it lies from
        their edges."""
        _, height, width, _, _ = rows[0]["place"]
        weights = weights_of((self.config.train_size[0], self.config.train_size[1]))
        total = np.zeros((height, width, 1), np.float32)
        blended = np.zeros((height, width, 2), np.float32)
        for row in rows:
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


def _part(wanted: range, start: int, length: int) -> tuple[int, int, int]:
    """Of what is wanted along an axis, the part in a tile at `start`: the number of its first
    element, where that lies in the tile, and how many there are."""
    first = max(0, -((wanted.start - start) // wanted.step))
    inside = wanted[first : max(first, -((wanted.start - start - length) // wanted.step))]
    return first, inside.start - start, len(inside)


def _size(frame: Frame) -> str:
    return f"{frame.shape[0]}×{frame.shape[1]}"
