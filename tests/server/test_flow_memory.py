"""Small files that are large images: what the process that owns the sockets holds of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from perceiver_core.pipelines.optical_flow import FramePair, OpticalFlowInput
from protos.perceiver.v1 import perceiver_pb2 as pb
from server.streams import Room
from server.work import Undecoded
from tests.live_server import LiveServer, serving
from tests.server.flow_talks import GOOD, TASK, TILES, answers, flowing, stopped
from tests.server.pictures import encoded, file_of
from tests.server.rpc_calls import call, channel_to, ends, frames, refusal, streaming
from tests.server.serving import until
from tests.tiny import make_optical_flow

MIB = 1024 * 1024
LARGE = (3000, 2400)  # 21.6 MB of pixels
ONE_PIXEL = pb.Region(height=1, width=1)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("flow")
    make_optical_flow(folder / "flow")
    flags = ("--model-repository", folder, "--default-models", "optical-flow=flow")
    with serving(*flags, program=("-m", "tests.server.light_server")) as server:
        with channel_to(server) as channel:
            assert of_pairs(channel, encoded("PNG", (40, 24)), 1).results
        yield server


def of_pairs(channel: Any, file: bytes, count: int, **options: Any) -> Any:
    image = pb.Image(file=file)
    pairs = [pb.FramePair(frame1=image, frame2=image)] * count
    return call(
        channel, pb.OpticalFlowRequest(inputs=pairs, options=pb.FlowOptions(**options)), timeout=120
    )


@contextmanager
def growing_by(server: LiveServer, most: int) -> Iterator[None]:
    """At no moment within the block the server itself takes more than so much more memory."""
    folder = Path("/proc", str(server.process.pid))

    def peak() -> int:
        found = re.search(r"VmHWM:\s+(\d+) kB", (folder / "status").read_text())
        assert found
        return int(found[1]) * 1024

    (folder / "clear_refs").write_text("5")  # the peak is what it takes now
    before = peak()
    yield
    assert (peak() - before) // MIB <= most // MIB


@pytest.mark.parametrize("size", [(3_000_000, 1), (1, 3_000_000)])
def test_a_strip_is_refused_before_it_is_padded(live: LiveServer, size: tuple[int, int]) -> None:
    image = pb.Image(file=encoded("PNG", size))
    pair = pb.OpticalFlowRequest(inputs=[pb.FramePair(frame1=image, frame2=image)])
    with channel_to(live) as channel, growing_by(live, 64 * MIB):
        status, code, sentence = refusal(channel, pair)
        assert (status, code) == ("RESOURCE_EXHAUSTED", "too_large")
        assert re.search(r"makes \d{6} rows, the limit is 1024", sentence)
        found = list(streaming(channel, "StreamOpticalFlow")(frames([image] * 3)))
        assert ends(found) == [(1, "too_large"), (2, "too_large")]


def test_a_call_holds_the_pixels_of_one_pair_at_a_time(live: LiveServer) -> None:
    with channel_to(live) as channel, growing_by(live, 96 * MIB):
        assert len(of_pairs(channel, encoded("PNG", LARGE), 5, region=ONE_PIXEL).results) == 5


def test_many_calls_hold_no_more_than_one(live: LiveServer) -> None:
    file = encoded("PNG", LARGE)

    def results(_: int) -> int:
        return len(of_pairs(channel, file, 1, region=ONE_PIXEL).results)

    with (
        channel_to(live) as channel,
        growing_by(live, 96 * MIB),
        ThreadPoolExecutor(6) as pool,
    ):
        assert sum(pool.map(results, range(6))) == 6


@contextmanager
def standing_still(server: LiveServer) -> Iterator[None]:
    """The device computes nothing before the block ends."""
    front = psutil.Process(server.process.pid)
    worker = next(child for child in front.children() if "light_worker" in str(child.cmdline()))
    worker.suspend()
    try:
        yield
    finally:
        worker.resume()


def test_streams_hold_little_more_than_their_room(live: LiveServer) -> None:
    image = pb.Image(file=encoded("PNG", LARGE))

    def found(_: int) -> list[tuple[int, str]]:
        images = frames([image] * 2, region=ONE_PIXEL)
        return ends(streaming(channel, "StreamOpticalFlow")(images))

    with (
        channel_to(live) as channel,
        growing_by(live, 224 * MIB),
        ThreadPoolExecutor(10) as pool,
    ):
        with standing_still(live):
            streams = [pool.submit(found, number) for number in range(10)]
            live.await_metric("queued", 9)  # and one in flight
        assert [stream.result() for stream in streams] == [[(1, "ok")]] * 10


async def test_frames_that_are_not_kept_are_decoded_again(tmp_path: Path) -> None:
    images = [pb.Image(file=file_of(Image.fromarray(frame), "PNG")) for frame in GOOD[:5]]
    async with flowing(tmp_path) as (engine, channel):
        kept = [one.flow.data for one in await answers(channel, images)]
        engine.room = Room(0)
        assert [one.flow.data for one in await answers(channel, images)] == kept
        assert len(set(kept)) == 4


class Shy(Undecoded):
    """A pair that says when it is decoded."""

    def __init__(self) -> None:
        self.seen = False

    @property
    def options(self) -> OpticalFlowInput:
        return OpticalFlowInput(b"", b"")

    def row_count(self, _: Any) -> int:
        return TILES

    @asynccontextmanager
    async def decoded(self, _: Any, __: Any) -> AsyncIterator[FramePair]:
        self.seen = True
        yield FramePair(GOOD[0], GOOD[1])


async def test_a_pair_is_not_decoded_before_there_is_room_for_its_tiles(tmp_path: Path) -> None:
    first, second = Shy(), Shy()

    async def items() -> AsyncGenerator[Any, None]:
        yield first
        yield second

    async with flowing(tmp_path, max_queue=TILES, max_batch=1) as (engine, _):
        stream = engine.stream(TASK, items(), weight=lambda _: 0)
        async with stopped(engine):
            await until(lambda: engine.ledger.held_rows > 0)
            await until(lambda: sum(engine.ledger.queued.values()) == 1)
            for _ in range(100):
                await asyncio.sleep(0)
            assert (first.seen, second.seen) == (True, False)
        outcomes = [outcome async for outcome in stream]
        assert len(outcomes) == 2
        assert second.seen
        await stream.close()
