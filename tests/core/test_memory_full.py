"""Optical flow of large images at the published size takes the memory of one of its tiles (make
test-full)."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.peak import peak_mb
from perceiver_core.tasks import PerceiverForOpticalFlow
from tests.core.published import FLOW
from tests.tiny import make


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_a_large_image_takes_the_memory_of_a_tile(tmp_path: Path) -> None:
    make(PerceiverForOpticalFlow, tmp_path, **FLOW)
    tile = peak_mb(tmp_path, "368x496")
    assert tile > peak_mb(tmp_path, "weights") + 150  # or it has not been asked anything
    for size in ("436x1024", "1080x1920"):
        assert peak_mb(tmp_path, size) <= 1.10 * tile, size
