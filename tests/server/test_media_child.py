"""What the media child has given up, and what it does besides preprocessing."""

import asyncio
import io
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import av
import numpy as np
import pytest
import pytest_asyncio
from PIL import Image
from pydantic import ByteSize

from perceiver_core.pipelines import open_pipeline
from perceiver_core.pipelines.multimodal_autoencoding import Format, MultimodalAutoencodingInput
from server.config import Settings
from server.errors import Fault
from server.media.limits import Limits
from server.media.video import read_video
from server.media_pool import VIDEO, MediaPool
from server.work import prepare
from tests.server.clips import clip, grey
from tests.server.pictures import encoded
from tests.server.serving import until
from tests.tiny import make_multimodal

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONFINED = """
import server.media_child as child
child.confine(64 * 2**20)
{}
"""

ALONE = """
import os
import numpy as np
import server.media_child as child
from server.messages import Decode, RenderFlow, RenderVideo, Failed
from server.media.limits import Limits
from server.media.video import read_video
from perceiver_core.pipelines.multimodal_autoencoding import Format, MultimodalAutoencodingInput
from tests.server.clips import clip, tone
from tests.server.pictures import encoded
limits = Limits(10**6, 60, 2000, 100)
large = clip("mp4", "libx264", size=(480, 640), sound=tone(.4), sound_codec="aac")
if os.getuid() == 0:
    os.setuid(65_534)  # root may start what he likes
child.confine(256 * 2**20)
{}
"""
EVERYTHING = """
frames, audio = read_video(large, Format(2, 16, 16, 640, 25, 8000), limits)
assert len(frames) == 10 and len(audio) >= 3200
field = np.zeros((480, 640, 2), np.float32)
for call, row in (
    (Decode((16, 16)), {"file": np.frombuffer(encoded("WEBP", (640, 480)), np.uint8)}),
    (RenderFlow(), {"flow": field}),
    (RenderVideo(25, 8000), {"frames": np.zeros((9, 480, 640, 3), np.uint8), "audio": audio}),
):
    said, _ = child.answer(call, [row], limits)
    assert not isinstance(said, Failed), said
"""
A_THREAD = "import threading; threading.Thread(target=print).start()"


@pytest.mark.parametrize(
    ("attempt", "error"),
    [
        ("bytearray(2**28)", "MemoryError"),
        ("open('out', 'wb', 0).write(b'x')", "OSError: [Errno 27]"),
        ("[open('/dev/null') for _ in range(99)]", "OSError: [Errno 24]"),
        ("import os; print(os.read(os.open('/proc/self/status', 0), 9999).decode())", ""),
    ],
)
async def test_the_child_has_given_up_what_it_does_not_need(
    attempt: str, error: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    done = await python(CONFINED.format(attempt), tmp_path_factory)
    if error:
        assert done.stderr.splitlines()[-1].startswith(error)
        free = CONFINED.format(attempt).replace("child.confine", "print")
        assert (await python(free, tmp_path_factory)).returncode == 0
    else:
        assert "NoNewPrivs:\t1" in done.stdout


@pytest.mark.parametrize(("attempt", "works"), [(EVERYTHING, True), (A_THREAD, False)])
async def test_everything_is_done_in_one_thread(
    attempt: str, works: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    done = await python(ALONE.format(attempt), tmp_path_factory)
    assert (done.returncode == 0) is works, done.stderr


async def python(code: str, factory: pytest.TempPathFactory) -> "subprocess.CompletedProcess[str]":
    root = str(factory.mktemp("confined"))
    path = ":".join(sys.path)
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", code],
        cwd=root,
        env={"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool() -> AsyncIterator[MediaPool]:
    pool = MediaPool(Settings(max_pixels=10**6))
    pool.start()
    yield pool
    await pool.close()


async def test_single_images_are_decoded(pool: MediaPool) -> None:
    data = encoded("PNG", (40, 30))
    whole = await pool.decode(data)
    np.testing.assert_array_equal(whole, np.asarray(Image.open(io.BytesIO(data))))
    fitted = await pool.decode(data, (8, 16))
    assert fitted.shape == (8, 16, 3)
    assert fitted.dtype == np.uint8
    with pytest.raises(Fault, match="ends too early") as caught:
        await pool.decode(data[:100])
    assert caught.value.code == "invalid_input"
    with pytest.raises(Fault, match="is 1001×1000 = 1001000 pixels") as caught:
        await pool.decode(encoded("JPEG", (1001, 1000)))
    assert caught.value.code == "too_large"


async def test_flow_is_drawn(pool: MediaPool) -> None:
    """Hue is the direction, saturation the length."""
    flow = np.array([[[4, 0], [0, 4], [-4, 0], [0, -4], [0, 0], [2, 0], [9, 0]]], np.float32)
    picture = await drawn(pool, flow, longest=4.0)
    red, green, cyan, violet, white, pink, beyond = picture[0].tolist()
    assert red == beyond == [255, 0, 0]
    np.testing.assert_allclose(cyan, [0, 255, 255], atol=4)
    assert green[1] == 255
    assert violet[2] == 255
    assert white == [255, 255, 255]
    assert pink == [255, 127, 127]


async def test_the_longest_vector_of_a_field_has_full_colour(pool: MediaPool) -> None:
    field = np.zeros((130, 3, 2), np.float32)
    field[100, 1] = 3, 4
    picture = await drawn(pool, field)
    assert picture[129, 2].tolist() == [255, 255, 255]
    np.testing.assert_array_equal(picture, await drawn(pool, field, longest=5.0))
    still = np.full((2, 2, 2), 0.001, np.float32)
    np.testing.assert_array_equal(await drawn(pool, still), 255)


async def drawn(pool: MediaPool, flow: Any, **options: float) -> Any:
    file = await pool.render("flow-png", {"flow": flow}, **options)
    image = Image.open(io.BytesIO(file))
    assert image.format == "PNG"
    return np.asarray(image)


@pytest.mark.parametrize("size", [(32, 32), (1, 1), (17, 23)])
@pytest.mark.parametrize("sound_rate", [None, 1600, 8000, 48_000])
async def test_a_video_is_written(
    pool: MediaPool, size: tuple[int, int], sound_rate: int | None
) -> None:
    frames = grey(10, size)
    row: dict[str, Any] = {"frames": frames}
    if sound_rate is not None:
        row["audio"] = np.sin(np.arange(0.4 * sound_rate) * 0.2).astype(np.float32)
    data = await pool.render("mp4", row, frame_rate=25, sample_rate=sound_rate or 1)
    with av.open(io.BytesIO(data), "r") as file:
        assert file.format.name.startswith("mov,mp4")
        picture = file.streams.video[0]
        assert (picture.codec_context.name, picture.format.name) == ("h264", "yuv420p")
        assert picture.height % 2 == picture.width % 2 == 0
        assert picture.average_rate == 25
        assert [track.codec_context.name for track in file.streams.audio] == (
            [] if sound_rate is None else ["aac"]
        )
    wanted = Format(2, *size, 640, 25, sound_rate or 8000)
    back, heard = read_video(data, wanted, Limits(10**6, 60, 2000, 100))
    assert back.shape == frames.shape
    assert abs(back.astype(int) - frames).max() < 8
    if sound_rate is None:
        assert heard is None
    else:
        assert heard is not None
        middle = slice(sound_rate // 20, sound_rate // 3)
        np.testing.assert_allclose(heard[middle], row["audio"][middle], atol=0.1)


async def test_sound_may_end_before_its_video(pool: MediaPool) -> None:
    row: dict[str, Any] = {"frames": grey(10), "audio": np.zeros(1000, np.float32)}
    data = await pool.render("mp4", row, sample_rate=8000)
    frames, heard = read_video(data, Format(2, 32, 48, 640, 25, 8000), Limits(10**6, 60, 2000, 100))
    assert len(frames) == 10
    assert heard is not None
    assert 1000 <= len(heard) < 2000


async def test_what_no_channel_carries_is_said_not_sent(pool: MediaPool) -> None:
    with pytest.raises(Fault, match="this takes too much memory") as caught:
        await pool.render("mp4", {"frames": np.zeros((300, 480, 640, 3), np.uint8)})
    assert caught.value.code == "too_large"


@pytest.mark.full
async def test_what_the_parent_would_not_take_is_said_not_sent() -> None:
    """300 MB of pixels."""
    pool = MediaPool(
        Settings(media_processes=1, max_pixels=10**8, media_memory_bytes=ByteSize(4 * 2**30))
    )
    pool.start()
    try:
        with pytest.raises(Fault, match="this takes too much memory") as caught:
            await pool.decode(encoded("PNG", (10_000, 10_000)))
        assert caught.value.code == "too_large"
        assert pool._children[0].restarts == 0
    finally:
        await pool.close()


async def test_what_takes_too_long_is_killed_and_said(pool: MediaPool) -> None:
    slow = MediaPool(Settings(media_processes=1, media_timeout_s=0.05))
    slow.start()
    try:
        await slow._children[0].wait_ready()
        with pytest.raises(Fault, match=r"longer than 0\.05 s") as caught:
            await slow.render("mp4", {"frames": np.zeros((250, 480, 640, 3), np.uint8)})
        assert caught.value.code == "too_large"
    finally:
        await slow.close()


async def test_no_image_waits_for_a_video(
    pool: MediaPool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nor when the one who sent it has gone while it is being read."""
    folder = tmp_path_factory.mktemp("videos") / "multimodal"
    make_multimodal(folder)
    pipeline = open_pipeline(folder)
    video = MultimodalAutoencodingInput(clip())
    picture = encoded("PNG", (40, 30))
    free, busy = pool._children
    await free.wait_ready()
    await busy.wait_ready()
    assert busy.pid is not None
    os.kill(busy.pid, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor() as threads:
            reading = [
                asyncio.create_task(prepare(pipeline, [video], folder, pool, threads, print))
                for _ in range(2)
            ]
            await until(lambda: busy._reply is not None)
            assert (free.waiting, busy.waiting) == (0, 2 * VIDEO)
            await asyncio.gather(*(pool.decode(picture) for _ in range(4)))
            for task in reading:
                task.cancel()
            await asyncio.wait(reading)
            assert (free.waiting, busy.waiting) == (0, VIDEO)
            await asyncio.gather(*(pool.decode(picture) for _ in range(4)))
    finally:
        os.kill(busy.pid, signal.SIGCONT)
    await until(lambda: busy.waiting == 0)
    assert await pool.preprocess(folder, video, video=True)
    assert busy.restarts == 0
