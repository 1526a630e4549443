"""A field of optical flow as a picture: the colour wheel."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BAND = 64  # rows at a time: what the arithmetic needs beside the field and the picture stays small
STILL = 1.0  # pixels; a field that moves less is a still picture, not a storm


def flow_png(flow: NDArray[np.float32], longest: float | None = None) -> bytes:
    """The PNG of a field (h, w, 2) of pixels to the right and down.

    Hue is the direction: red to the right, then yellow-green down, cyan left, violet up.
    Saturation is the length, from white for none to full for `longest` pixels and more; without
    it for the longest of the field, at least STILL.
    """
    if longest is None:
        bands = range(0, len(flow), BAND)
        longest = max((float(_length(flow[i : i + BAND]).max()) for i in bands), default=0.0)
        longest = max(longest, STILL)
    wheel = np.full((*flow.shape[:2], 3), 255, np.uint8)
    for i in range(0, len(flow), BAND):
        band = flow[i : i + BAND]
        turn = np.arctan2(band[..., 1], band[..., 0]) / (2 * np.pi)  # -0.5 to 0.5
        wheel[i : i + BAND, :, 0] = np.round(turn * 255) % 255
        wheel[i : i + BAND, :, 1] = np.round(np.minimum(_length(band) / longest, 1) * 255)
    channels = [Image.fromarray(np.ascontiguousarray(wheel[..., i])) for i in range(3)]
    file = io.BytesIO()
    Image.merge("HSV", channels).convert("RGB").save(file, "PNG")
    return file.getvalue()


def _length(flow: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.hypot(flow[..., 0], flow[..., 1]))
