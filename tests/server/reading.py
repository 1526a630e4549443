"""Video files read in this process, to a small model's format."""

from typing import Any

from perceiver_core.pipelines.multimodal_autoencoding import Format
from server.media.limits import Limits
from server.media.video import read_video
from tests.server.clips import RATE

LIMITS = Limits(pixels=100_000, seconds=5, frames=100, rows=100)
WANTED = Format(frames=2, height=16, width=16, samples=640, frame_rate=25, sample_rate=RATE)


def read(data: bytes, limits: Limits = LIMITS, **wanted: int) -> Any:
    """Frames (n, h, w, 3) and samples (S,), or None."""
    return read_video(data, WANTED._replace(**wanted), limits)
