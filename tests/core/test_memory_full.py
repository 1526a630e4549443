"""Optical flow of large images at the published size takes the memory of one of its tiles (make
test-full)."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.peak import peak_mb
from perceiver_core.tasks import PerceiverForOpticalFlow
from tests.core.published import FLOW
from tests.tiny import make

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers do: how many there are does not change what one of them takes."""
    folder = tmp_path_factory.mktemp("flow")
    make(PerceiverForOpticalFlow, folder, **FLOW | {"num_self_attends_per_block": 2})
    return folder


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_large_image_takes_the_memory_of_a_tile(folder: Path, dtype: str) -> None:
    tile = peak_mb(folder, "368x496", dtype)
    assert tile > peak_mb(folder, "weights", dtype) + 200  # or it has not been asked anything
    for size in ("436x1024", "1080x1920"):
        assert peak_mb(folder, size, dtype) <= 1.10 * tile, size
