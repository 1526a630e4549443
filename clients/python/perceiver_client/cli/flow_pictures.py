"""A field of optical flow as a picture, and what it is worth on the frames it was made of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Frame = NDArray[np.uint8]  # RGB (height, width, 3)
Flow = NDArray[np.float32]  # (h, w, 2), in pixels to the right and down

STILL = 1.0  # pixels; a field that moves less is a still picture, not a storm


class WarpError(NamedTuple):
    """Mean difference, of 255, of the first frame and the second one: brought back by the flow,
    and as it is."""

    warped: float
    unwarped: float


def longest_of(flow: Flow, percent: float = 100) -> float:
    """Pixels that this part of the field's vectors does not exceed; at least STILL."""
    return max(float(np.percentile(np.hypot(flow[..., 0], flow[..., 1]), percent)), STILL)


def wheel(flow: Flow, longest: float) -> Frame:
    """As the server draws it: hue is the direction, red to the right, then yellow-green down, cyan
    left, violet up; saturation is the length, full for `longest` pixels and more."""
    turn = np.arctan2(flow[..., 1], flow[..., 0]) / (2 * np.pi)  # -0.5 to 0.5
    length = np.hypot(flow[..., 0], flow[..., 1])
    hue = np.round(turn * 255) % 255
    saturation = np.round(np.minimum(length / longest, 1) * 255)
    channels = [hue, saturation, np.full(hue.shape, 255)]
    bands = [Image.fromarray(channel.astype(np.uint8)) for channel in channels]
    return np.asarray(Image.merge("HSV", bands).convert("RGB"))


def beside(frame: Frame, picture: Frame, stride: int) -> Frame:
    """The frame and, to the right, the picture of every `stride`-th pixel in its size."""
    height, width = frame.shape[:2]
    large = picture.repeat(stride, axis=0).repeat(stride, axis=1)[:height, :width]
    return np.concatenate([frame, large], axis=1)


def warp_error(frame1: Frame, frame2: Frame, flow: Flow, stride: int) -> WarpError | None:
    """Of every `stride`-th pixel that stays inside; None where none does."""
    height, width = frame1.shape[:2]
    y, x = np.mgrid[:height:stride, :width:stride]
    to_x, to_y = x + flow[..., 0], y + flow[..., 1]
    inside = (to_x >= 0) & (to_x <= width - 1) & (to_y >= 0) & (to_y <= height - 1)
    if not inside.any():
        return None
    y, x = y[inside], x[inside]
    before = frame1[y, x].astype(np.float32)
    errors = (
        np.abs(seen - before).mean(dtype=np.float64)
        for seen in (_between(frame2, to_x[inside], to_y[inside]), frame2[y, x])
    )
    return WarpError(*map(float, errors))


def _between(frame: Frame, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """The colours at places between the pixels (n,): bilinear."""
    height, width = frame.shape[:2]
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, low = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    over, down = (x - left)[:, None], (y - top)[:, None]
    upper = frame[top, left] * (1 - over) + frame[top, right] * over
    lower = frame[low, left] * (1 - over) + frame[low, right] * over
    return np.asarray(upper * (1 - down) + lower * down)
