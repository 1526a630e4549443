"""Large rows: a batch holds only as many as their pipeline says, and decoded media are made into
rows off the event loop."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from perceiver_core.pipelines import base
from perceiver_core.pipelines.multimodal_autoencoding import Footage
from perceiver_core.pipelines.optical_flow import FramePair, OpticalFlow
from server.engine import Engine
from server.errors import Fault
from tests.server.serving import held, serving, until, waiting
from tests.tiny import make_multimodal, make_optical_flow

pytestmark = pytest.mark.asyncio(loop_scope="module")

TILE = 16 * 24


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    folder = tmp_path_factory.mktemp("most-rows")
    make_optical_flow(folder / "models" / "flow")
    make_multimodal(folder / "models" / "clips")
    async with serving(folder) as engine:
        await flow(engine, pair())  # loaded
        yield engine


def pair(tiles: int = 1) -> FramePair:
    """Two frames of `tiles` tiles one above the other."""
    frames = np.random.default_rng(0).integers(0, 256, (2, 4 + 12 * tiles, 24, 3), dtype=np.uint8)
    return FramePair(frames[0], frames[1])


def flow(engine: Engine, item: FramePair) -> asyncio.Task[Any]:
    return asyncio.create_task(engine.predict("optical-flow", [item], model="flow"))


async def test_a_batch_holds_what_the_pipeline_says(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = (await flow(engine, pair(7))).outputs
    monkeypatch.setattr(base, "BATCH_OUTPUTS", 3 * TILE)
    engine.registry.slots["flow"].pipeline = None  # to be opened again
    batches = engine.batcher.batches["flow"]
    async with held(engine):
        requests = [flow(engine, pair(7))]
        await until(waiting(engine, 1))  # or a thread might have the other one's rows first
        requests.append(flow(engine, pair()))
        await until(waiting(engine, 2))
    answers = [await request for request in requests]
    assert engine.batcher.batches["flow"] - batches == 3  # 8 tiles, 3 at a time
    assert [answer.batch_size for answer in answers] == [3, 3]
    assert np.array_equal(answers[0].outputs[0].flow, expected[0].flow)


async def test_one_row_may_be_larger_than_that(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "BATCH_OUTPUTS", 1)
    engine.registry.slots["flow"].pipeline = None
    assert (await flow(engine, pair(3))).batch_size == 1


async def test_decoded_media_become_rows_in_a_thread(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    original = OpticalFlow.preprocess

    def preprocess(self: OpticalFlow, item: Any) -> Any:
        seen.append(threading.current_thread())
        return original(self, item)

    monkeypatch.setattr(OpticalFlow, "preprocess", preprocess)
    await flow(engine, pair())
    assert len(seen) == 1
    assert seen[0] is not threading.main_thread()


async def test_clips_come_back_through_the_worker(engine: Engine) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    item = Footage(frames, None, ("video", "label"))
    answer = await engine.predict("multimodal-autoencoding", [item], model="clips")
    (found,) = answer.outputs
    assert answer.batch_size == 3
    assert [clip.start for clip in found.clips] == [0.0, 0.08, 0.16]
    assert [clip.video.shape for clip in found.clips] == [(n, 16, 16, 3) for n in (2, 2, 1)]
    assert all(clip.audio is None and len(clip.labels) == 5 for clip in found.clips)


async def test_what_is_wrong_with_decoded_media_is_told(engine: Engine) -> None:
    wrong = FramePair(np.zeros((3, 4, 3), np.uint8), np.zeros((4, 3, 3), np.uint8))
    with pytest.raises(Fault, match="frame2 is 4×3, frame1 is 3×4: both must have one size"):
        await flow(engine, wrong)
