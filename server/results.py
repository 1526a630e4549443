"""What REST and `perceiver-server predict` make alike of a result."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perceiver_core.pipelines.multimodal_autoencoding import Reconstruction
from server.frames import Row
from server.media_pool import MediaPool


def magnitudes(flow: NDArray[np.float32]) -> dict[str, float]:
    """How far the pixels of (h, w, 2) move, in pixels."""
    lengths = np.hypot(flow[..., 0], flow[..., 1])
    return {
        "mean_magnitude": float(lengths.mean(dtype=np.float64)),
        "max_magnitude": float(lengths.max()),
    }


async def mp4(media: MediaPool, made: Reconstruction) -> bytes:
    """The file of all clips in order; each has frames, and all or none have sound."""
    row = await asyncio.to_thread(_joined, made)
    rates = {"frame_rate": made.format.frame_rate, "sample_rate": made.format.sample_rate}
    return await media.render("mp4", row, **rates)


def _joined(made: Reconstruction) -> Row:
    streams: dict[str, list[NDArray[Any]]] = {
        "frames": [clip.video for clip in made.clips if clip.video is not None],
        "audio": [clip.audio for clip in made.clips if clip.audio is not None],
    }
    return {name: np.concatenate(arrays) for name, arrays in streams.items() if arrays}
