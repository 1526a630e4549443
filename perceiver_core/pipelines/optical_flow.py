"""Two frames of any size to the flow between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perceiver_core.errors import InvalidInput
from perceiver_core.pipelines.base import Pipeline, Row
from perceiver_core.pipelines.image_classification import decode_trusted
from perceiver_core.tiles import pad_to, tiles_of, weights_of

Frame = NDArray[np.uint8]
Region = tuple[int, int, int, int]


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

    def check(self, item: OpticalFlowInput | FramePair) -> None:
        """Stride and region are possible for some image."""
        if item.stride < 1:
            raise InvalidInput(f"stride is {item.stride}: use 1 or more")
        if item.region is not None and (min(item.region) < 0 or min(item.region[2:]) < 1):
            raise InvalidInput(
                f"region is {list(item.region)}: give [top, left, height, width] in pixels, the "
                "last two at least 1"
            )

    def preprocess(self, item: OpticalFlowInput | FramePair) -> list[Row]:
        """A row for each tile that holds a wanted pixel: `frames` uint8 (2, h, w, 3), the wanted
        `points` int64 (Q,) of it, where they go in the `field` (Q,), `place` int64: how often the
        tile counts, and the height and width of the field.

        An image smaller than a tile is padded below and to the right.
        """
        frame1, frame2 = item.frame1, item.frame2
        if isinstance(frame1, bytes):
            frame1 = self.decode(frame1)
        if isinstance(frame2, bytes):
            frame2 = self.decode(frame2)
        if frame1.shape != frame2.shape:
            raise InvalidInput(
                f"frame2 is {_size(frame2)}, frame1 is {_size(frame1)}: both must have one size"
            )
        rows_wanted, columns_wanted = _wanted(frame1.shape[:2], item.region, item.stride)
        height, width = self.config.train_size
        pair = np.stack([pad_to(frame, (height, width)) for frame in (frame1, frame2)])
        rows = []
        for tile in tiles_of((pair.shape[1], pair.shape[2]), (height, width)):
            inside = [
                np.flatnonzero((wanted >= start) & (wanted < start + length))
                for wanted, start, length in (
                    (rows_wanted, tile.top, height),
                    (columns_wanted, tile.left, width),
                )
            ]
            if not all(map(len, inside)):
                continue
            y, x = rows_wanted[inside[0]] - tile.top, columns_wanted[inside[1]] - tile.left
            rows.append(
                {
                    "frames": pair[:, tile.top : tile.top + height, tile.left : tile.left + width],
                    "points": (y[:, None] * width + x).ravel(),
                    "field": (inside[0][:, None] * len(columns_wanted) + inside[1]).ravel(),
                    "place": np.array([tile.count, len(rows_wanted), len(columns_wanted)]),
                }
            )
        return rows

    def forward(self, model: Any, rows: list[Row]) -> list[Row]:
        """`flow` float32 (Q, 2) in pixels at the wanted points; where they go, as it came."""
        from perceiver_core.pipelines.rows import flow_rows

        found = flow_rows(model, [row["frames"] for row in rows], [row["points"] for row in rows])
        return [
            {"flow": flow, **{key: row[key] for key in ("points", "field", "place")}}
            for flow, row in zip(found, rows, strict=True)
        ]

    def postprocess(self, item: OpticalFlowInput | FramePair, rows: list[Row]) -> Flow:
        """The tiles blended: each pixel is a mean of its tiles, weighted by how far it lies from
        their edges."""
        _, height, width = rows[0]["place"]
        weights = weights_of((self.config.train_size[0], self.config.train_size[1])).ravel()
        total = np.zeros(height * width, np.float32)
        flow = np.zeros((height * width, 2), np.float32)
        for row in rows:
            weight = weights[row["points"]] * np.float32(row["place"][0])
            total[row["field"]] += weight
            flow[row["field"]] += weight[:, None] * row["flow"]
        blended = np.divide(flow, total[:, None], dtype=np.float32)
        return Flow(blended.reshape(height, width, 2))


def _wanted(
    size: tuple[int, ...], region: Region | None, stride: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows and the columns of an image whose flow is wanted."""
    top, left, height, width = region or (0, 0, size[0], size[1])
    if top + height > size[0] or left + width > size[1]:
        raise InvalidInput(
            f"region is {[top, left, height, width]}, but the frames are {size[0]}×{size[1]}: it "
            "must lie inside"
        )
    return np.arange(top, top + height, stride), np.arange(left, left + width, stride)


def _size(frame: Frame) -> str:
    return f"{frame.shape[0]}×{frame.shape[1]}"
