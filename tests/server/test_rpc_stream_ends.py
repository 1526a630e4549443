"""What ends a stream of frames, or one of its pairs, and waiting for room."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from PIL import Image

from protos.perceiver.v1 import perceiver_pb2 as pb
from server.engine import Engine
from server.streams import WINDOW
from tests.server.flow_talks import GOOD, TILES, Talk, answers, flowing, stopped, unary
from tests.server.pictures import file_of
from tests.server.rpc_calls import call, ends, noise, opened, outcome, raw
from tests.server.serving import at_rest, computed, ended, until, waiting

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def open_door(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Engine, Any]]:
    async with flowing(tmp_path_factory.mktemp("flow")) as opened:
        yield opened


async def test_a_dying_worker_costs_a_stream_what_it_had_in_hand(open_door: Any) -> None:
    engine, channel = open_door
    talk = Talk(channel)
    await talk.send([raw(frame) for frame in GOOD[:2]])
    assert await talk.codes(1) == ["ok"]
    async with stopped(engine) as pid:
        await talk.send([raw(GOOD[2])])
        await until(lambda: sum(engine.ledger.in_flight.values()) == 1)
        await talk.send([raw(GOOD[3])])
        await until(waiting(engine, 1))
        os.kill(pid, signal.SIGKILL)
        assert await talk.codes(2) == ["worker_died", "ok"]
    await talk.send([raw(GOOD[4])])
    assert await talk.codes(1) == ["ok"]
    await talk.calling.done_writing()
    assert await talk.rest() == []


async def test_a_client_that_leaves_takes_its_pairs_along(open_door: Any) -> None:
    engine, channel = open_door
    before = computed(engine), ended(engine, "cancelled")
    talks = [Talk(channel), Talk(channel, timeout=600)]
    async with stopped(engine):
        await talks[0].send([raw(frame) for frame in GOOD[:2]])
        await until(lambda: sum(engine.ledger.in_flight.values()) == 1)
        await talks[0].send([raw(frame) for frame in GOOD[2:4]])
        await talks[1].send([raw(frame) for frame in GOOD[:4]])
        await until(waiting(engine, 5))
        for talk in talks:
            talk.calling.cancel()
        await until(lambda: at_rest(engine))
        assert ended(engine, "cancelled") == before[1] + 6
    await answers(channel, map(raw, GOOD[:2]))  # what the device had in hand is counted by now
    assert computed(engine) == before[0] + 2 * TILES


async def test_the_deadline_of_a_stream_is_that_of_its_pairs(open_door: Any) -> None:
    engine, channel = open_door
    before = {name: ended(engine, name) for name in ("expired", "cancelled")}
    received = sum(engine.ledger.received.values())
    async with stopped(engine):
        talk = Talk(channel, timeout=3)
        await talk.send([raw(frame) for frame in GOOD[:4]])
        await until(lambda: sum(engine.ledger.received.values()) == received + 3)
        assert (await talk.refusal())[0] == "DEADLINE_EXCEEDED"
        await until(lambda: at_rest(engine))
    assert ended(engine, "cancelled") == before["cancelled"]
    assert ended(engine, "expired") == before["expired"] + 3


async def test_a_pair_that_takes_too_long_is_told_so_and_the_stream_lives(tmp_path: Path) -> None:
    async with flowing(tmp_path, timeout_ms=2000) as (engine, channel):
        talk = Talk(channel)
        async with stopped(engine):
            await talk.send([raw(frame) for frame in GOOD[:2]])
            assert await talk.codes(1) == ["deadline"]
        await talk.send([raw(GOOD[2])])
        assert await talk.codes(1) == ["ok"]
        talk.calling.cancel()


async def test_streams_wait_for_room_where_calls_are_refused(tmp_path: Path) -> None:
    async with flowing(tmp_path, max_queue=TILES, max_batch=1) as (engine, channel):
        async with stopped(engine):
            streams = [asyncio.ensure_future(answers(channel, map(raw, GOOD))) for _ in range(3)]
            await until(lambda: sum(engine.ledger.queued.values()) == 3 * WINDOW - 1)
            assert await unary(channel) == ("RESOURCE_EXHAUSTED", "queue_full")
            assert engine.ledger.waiting_rows <= TILES
        for found in await asyncio.gather(*streams):
            assert ends(found) == [(number, "ok") for number in range(1, 10)]
        assert await unary(channel) == ("OK", "")
        assert ended(engine, "rejected") == 1


async def test_pairs_that_can_never_fit_are_told_so(tmp_path: Path) -> None:
    large = [raw(frame) for frame in noise(3, 24, 60)]
    async with flowing(tmp_path, max_queue=TILES) as (_, channel):
        found = await answers(channel, large)
        assert ends(found) == [(1, "too_large"), (2, "too_large")]
        pairs = [pb.FramePair(frame1=large[0], frame2=large[1])]
        calling = call(channel, pb.OpticalFlowRequest(inputs=pairs))
        assert await outcome(calling) == ("RESOURCE_EXHAUSTED", "too_large")


async def test_a_drain_answers_what_was_accepted_and_ends_streams(tmp_path: Path) -> None:
    async with flowing(tmp_path) as (engine, channel):
        busy, still = Talk(channel), Talk(channel)
        await still.send([raw(GOOD[0])])
        async with stopped(engine):
            await busy.send([raw(frame) for frame in GOOD[:4]])
            await until(lambda: sum(engine.ledger.received.values()) == 4)
            draining = asyncio.create_task(engine.drain())
            assert await still.refusal() == ("UNAVAILABLE", "draining")
            await busy.send([raw(GOOD[4])])
        assert await busy.codes(3) == ["ok"] * 3
        assert await busy.refusal() == ("UNAVAILABLE", "draining")
        assert await draining


async def test_a_stream_whose_frames_wait_to_be_decoded_does_not_stand_still(
    tmp_path: Path,
) -> None:
    files = [pb.Image(file=file_of(Image.fromarray(frame), "PNG")) for frame in GOOD[:2]]
    async with flowing(tmp_path, body_timeout_s=0.2) as (engine, channel):
        await answers(channel, files)  # the child has started
        child = engine.media._children[0].pid
        assert child is not None
        os.kill(child, signal.SIGSTOP)
        try:
            found = asyncio.ensure_future(answers(channel, files))
            await asyncio.wait((found,), timeout=1)  # far longer than it may stand still
            assert not found.done()
        finally:
            os.kill(child, signal.SIGCONT)
        assert ends(await found) == [(1, "ok")]


async def test_a_stream_that_stands_still_ends(tmp_path: Path) -> None:
    async with flowing(tmp_path, body_timeout_s=1.0) as (_, channel):
        talk = Talk(channel)
        await talk.send([raw(frame) for frame in GOOD[:2]])
        assert await talk.codes(1) == ["ok"]
        assert await talk.refusal() == ("CANCELLED", "too_slow")


async def test_answers_that_are_not_read_end_the_connection_and_no_other(tmp_path: Path) -> None:
    large = [raw(frame) for frame in noise(4, 128, 192)]  # an answer fills what a stream may send
    own = (("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1))
    async with (
        flowing(tmp_path, body_timeout_s=0.5) as (engine, other),
        opened(engine) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=own) as channel,
    ):
        watch: Any = channel.unary_stream("/grpc.health.v1.Health/Watch")
        beside = watch(b"", timeout=30)
        assert await beside.read()
        sleepy = Talk(channel)
        await sleepy.send(large)
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await beside.read()
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE
        assert await sleepy.refusal() == ("UNAVAILABLE", "")
        assert await unary(other) == ("OK", "")
