"""Hostile video files: each is a clear error or a known answer, cheaply, and the child lives on.

The child is a real one, with the server's own limits.
"""

import platform
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import pytest_asyncio

from perceiver_core.pipelines.multimodal_autoencoding import MultimodalAutoencodingInput
from server.child import Child
from server.config import Settings
from server.errors import Fault
from server.media_pool import MediaPool
from tests.live_server import ROOT
from tests.server.clips import clip, index_first, tone
from tests.server.hostile import ANSWERED, REFUSED, mov
from tests.server.sealed import CALLS
from tests.tiny import make_multimodal

pytestmark = pytest.mark.asyncio(loop_scope="module")

CPU_S = 2.0  # of one file
GROWTH = 256 * 2**20  # bytes, of the child, whatever it is sent
LEAKS = re.compile(r"0x[0-9a-f]|/|\\|\.py|libav|ffmpeg|avformat|Error|<|>|none", re.IGNORECASE)


class Reader:
    """A media pool of one child, and what it has cost."""

    def __init__(self, pool: MediaPool, folder: Path) -> None:
        self.pool = pool
        self.folder = folder

    @property
    def child(self) -> Child:
        return self.pool._children[0]

    @property
    def process(self) -> psutil.Process:
        assert self.child.pid is not None
        return psutil.Process(self.child.pid)

    async def read(self, data: bytes) -> list[Any]:
        return await self.pool.preprocess(self.folder, MultimodalAutoencodingInput(data))

    async def frames(self, data: bytes) -> int:
        return sum(int(row["length"]) for row in await self.read(data))

    async def said(self, data: bytes) -> Fault:
        with pytest.raises(Fault) as caught:
            await self.read(data)
        return caught.value

    async def read_or_refuse(self, data: bytes) -> list[Any]:
        """Rows; none where it was refused, as clients are refused."""
        try:
            return await self.read(data)
        except Fault as fault:
            refused = fault
        assert refused.code in ("invalid_input", "unsupported_media_type", "too_large")
        assert not LEAKS.search(refused.message)
        return []

    def cpu_s(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def peak(self) -> int:
        """Bytes of memory that the process has ever had."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) * 1024


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def reader(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Reader]:
    pool = MediaPool(Settings(media_processes=1))
    pool.start()
    reader = Reader(pool, make_multimodal(tmp_path_factory.mktemp("clips")))
    await reader.read(mov())
    yield reader
    await pool.close()


@pytest.mark.parametrize("name", REFUSED)
async def test_it_is_refused_cheaply_and_clearly(reader: Reader, name: str) -> None:
    make, code, sentence = REFUSED[name]
    data = make()
    process, began, peak = reader.process.pid, reader.cpu_s(), reader.peak()
    fault = await reader.said(data)
    assert fault.code == code
    assert re.search(sentence, fault.message)
    assert not LEAKS.search(fault.message.replace(sentence, ""))
    assert reader.cpu_s() - began < CPU_S
    assert reader.peak() - peak < GROWTH
    assert reader.process.pid == process
    assert await reader.frames(mov()) == 10


@pytest.mark.parametrize("name", ANSWERED)
async def test_it_has_an_answer(reader: Reader, name: str) -> None:
    make, frames = ANSWERED[name]
    data = make()
    began = reader.cpu_s()
    assert await reader.frames(data) == frames
    assert reader.cpu_s() - began < CPU_S


CONTAINERS: dict[str, Any] = {
    "mov": {"kind": "mov"},
    "mp4": {"kind": "mp4", "codec": "libx264"},  # the index in front, as on the web
    "fragments": {"kind": "mp4", "options": {"movflags": "frag_keyframe+empty_moov"}},
    "matroska": {"kind": "matroska"},
    "webm": {"kind": "webm", "codec": "libvpx-vp9", "sound_codec": "libopus"},
    "avi": {"kind": "avi", "codec": "mjpeg", "pixels": "yuvj420p"},
    "mpegts": {"kind": "mpegts", "codec": "mpeg2video", "sound_codec": "mp2"},
    "mpeg": {"kind": "mpeg", "codec": "mpeg1video", "sound_codec": "mp2"},
    "ogg": {"kind": "ogg", "codec": "libvpx", "sound_codec": "libopus"},
}


def whole(container: str) -> bytes:
    """A good file."""
    options = CONTAINERS[container]
    if options.get("sound_codec") in ("libopus", "mp2"):
        return clip(**options, sound=tone(0.4, rate=48_000), sound_rate=48_000)
    if container == "fragments":
        return clip(**options)
    codec = "aac" if options["kind"] == "mp4" else "pcm_s16le"
    data = clip(**{"sound_codec": codec, **options}, sound=tone(0.4))
    return index_first(data) if container == "mp4" else data


@pytest.mark.parametrize("container", CONTAINERS)
async def test_a_file_that_ends_early_is_an_error_or_the_frames_that_came(
    reader: Reader, container: str
) -> None:
    """Where the container tells how much there is, it is an error."""
    data = whole(container)
    frames = np.concatenate([row["video"] for row in await reader.read(data)])
    for length in range(0, len(data) - 1, len(data) // 32):
        rows = await reader.read_or_refuse(data[:length])
        if rows:
            count = sum(int(row["length"]) for row in rows)
            assert 0 < count <= 10
            assert count == 10 or container not in ("mov", "mp4", "avi")
            came = np.concatenate([row["video"] for row in rows])[:count]
            np.testing.assert_array_equal(came, frames[:count])


@pytest.mark.parametrize("container", CONTAINERS)
async def test_damage_is_survived(reader: Reader, container: str) -> None:
    """40 files with up to 16 wrong bytes each, most of them where the numbers stand."""
    data = np.frombuffer(whole(container), np.uint8)
    random = np.random.default_rng(0)
    process, began = reader.process.pid, reader.cpu_s()
    for _ in range(40):
        damaged = data.copy()
        count = random.integers(1, 17)
        places = (random.random(count) ** 2 * len(data)).astype(int)
        damaged[places if container not in ("mov", "matroska") else len(data) - 1 - places] = (
            random.integers(0, 256, count)
        )
        await reader.read_or_refuse(damaged.tobytes())
    assert reader.process.pid == process
    assert reader.cpu_s() - began < 40 * CPU_S
    assert await reader.frames(mov()) == 10


async def test_memory_has_an_end(tmp_path: Path) -> None:
    """32 MiB more than at start: enough for a clip, too little for frames of 24 megapixels."""
    pool = MediaPool(Settings(media_processes=1, media_memory_bytes=32 * 2**20))
    pool.start()
    reader = Reader(pool, make_multimodal(tmp_path))
    try:
        large = clip("avi", "mjpeg", frames=1, size=(4000, 6000), pixels="yuvj420p")
        assert await reader.frames(mov()) == 10
        process = reader.process.pid
        assert (await reader.said(large)).code == "too_large"
        assert await reader.frames(mov()) == 10
        assert reader.process.pid == process
    finally:
        await pool.close()


@pytest.mark.skipif(platform.machine() not in CALLS, reason="the seal knows other processors")
@pytest.mark.parametrize("way", ["ours", "a_playlist", "a_reference", "nothing"])
async def test_nothing_is_opened_or_connected(way: str) -> None:
    done = subprocess.run(  # noqa: ASYNC221 (nothing else runs)
        [sys.executable, "-m", "tests.server.sealed", way],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (0 if way == "ours" else -signal.SIGSYS), done.stderr
