"""A picture of any size to a model's: its middle, cut to the model's shape and scaled."""

from __future__ import annotations

from typing import Any

import numpy as np
from av import VideoFrame
from av.filter import Graph
from numpy.typing import NDArray


class Fitter:
    """Fits frames to one size (height, width); the filters are kept while frames are alike."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size
        self._like: Any = None
        self._graph = Graph()

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """RGB uint8 (height, width, 3); what is transparent loses its transparency."""
        like = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range)
        if like != self._like:
            self._graph, self._like = self._filters(frame), like
        self._graph.push(frame)
        return np.asarray(self._graph.vpull().to_ndarray(), np.uint8)

    def _filters(self, frame: VideoFrame) -> Graph:
        height, width = self._size
        inside = min(frame.width / width, frame.height / height)
        crop = (max(1, round(width * inside)), max(1, round(height * inside)))
        graph = Graph()
        graph.threads = 1
        nodes = [
            graph.add(
                "buffer",
                video_size=f"{frame.width}x{frame.height}",
                pix_fmt=frame.format.name,
                time_base="1/1000",
                colorspace=str(frame.colorspace),
                range=str(frame.color_range),
            ),
            graph.add("crop", f"{crop[0]}:{crop[1]}:exact=1"),
            graph.add("scale", f"{width}:{height}:flags=bicubic"),
            graph.add("format", "rgb24"),
            graph.add("buffersink"),
        ]
        graph.link_nodes(*nodes).configure()
        return graph


def fit(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """RGB uint8 (H, W, 3) to RGB uint8 (height, width, 3)."""
    return Fitter(size)(VideoFrame.from_ndarray(pixels, "rgb24"))
