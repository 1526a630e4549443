"""Pairs of images for optical flow: which are refused, from what, and which are tiles."""

import struct
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import psutil
import pytest
import pytest_asyncio

from perceiver_core.pipelines.optical_flow import OpticalFlowInput
from server.config import Settings
from server.errors import Fault
from server.media_pool import MediaPool
from tests.server.pictures import encoded
from tests.tiny import make_optical_flow

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAX_ROWS = 10
TILE = 16 * 24  # pixels
CPU_S = 2.0


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def tiles(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    """Two files (and a region) to tiles."""
    pool = MediaPool(Settings(media_processes=1, max_queue=MAX_ROWS))
    pool.start()
    folder = make_optical_flow(tmp_path_factory.mktemp("flow"))

    async def tiles(frame1: bytes, frame2: bytes, **options: Any) -> list[Any]:
        child = pool._children[0]
        await child.wait_ready()
        assert child.pid is not None
        process = psutil.Process(child.pid)
        began = process.cpu_times().user
        try:
            return await pool.preprocess(folder, OpticalFlowInput(frame1, frame2, **options))
        finally:
            assert process.cpu_times().user - began < CPU_S  # and it lives

    yield tiles
    await pool.close()


@pytest.mark.parametrize("size", [(1, 1), (24, 1), (1, 16), (5, 3), (24, 16)])
async def test_small_frames_are_padded_to_one_tile(tiles: Any, size: tuple[int, int]) -> None:
    [row] = await tiles(encoded("PNG", size), encoded("WEBP", size, lossless=True))
    assert row["frames"].shape == (2, 16, 24, 3)
    np.testing.assert_array_equal(row["frames"][0], row["frames"][1])


def header(width: int, height: int) -> bytes:
    """A PNG that announces a size and ends after that."""
    return b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + struct.pack(">II", width, height) + bytes(9)


@pytest.mark.parametrize(
    ("frame1", "frame2", "options", "code", "sentence"),
    [
        ((40, 30), (41, 30), {}, "invalid_input", "frame2 is 30×41, frame1 is 30×40"),
        ((40, 30), b"", {}, "unsupported_media_type", "not a JPEG, PNG or WebP"),
        ((40, 30), encoded("PNG")[:60], {}, "invalid_input", "ends too early"),
        # a header is enough where no queue could take the tiles, or no memory the pixels
        (header(20_000, 20_000), b"", {}, "too_large", "400000000 pixels, the limit is 3840"),
        (header(20_000, 1), b"", {}, "too_large", "20000 pixels, the limit is 3840"),
        (
            header(20_000, 20_000), b"", {"region": (0, 0, 8, 8)}, "too_large", "is 25000000"
        ),
        # else the tiles are counted, and none is made
        ((60, 60), (60, 60), {}, "too_large", "this makes 15 rows, the limit is 10"),
        (
            (600, 600), (600, 600), {"region": (0, 0, 600, 600)}, "too_large", "the limit is 10"
        ),
        (
            (3_000_000, 1), (3_000_000, 1), {"region": (0, 0, 1, 3_000_000)}, "too_large",
            "makes 166667 rows"
        ),
        (
            (1, 3_000_000), (1, 3_000_000), {"region": (0, 0, 3_000_000, 1)}, "too_large",
            "makes 250000 rows"
        ),
    ],
)  # fmt: skip
async def test_it_is_refused(
    tiles: Any, frame1: Any, frame2: Any, options: Any, code: str, sentence: str
) -> None:
    files = (
        encoded("PNG", frame) if isinstance(frame, tuple) else frame for frame in (frame1, frame2)
    )
    with pytest.raises(Fault, match=sentence) as caught:
        await tiles(*files, **options)
    assert caught.value.code == code


async def test_of_a_large_image_a_region_is_cheap(tiles: Any) -> None:
    large = encoded("PNG", (600, 600))
    rows = await tiles(large, large, region=(300, 300, 8, 8))
    assert 1 <= len(rows) <= 4
