"""Streams of frames at the gRPC door: pairs and what breaks them, options, formats. The worker
needs no torch (light_worker): of two frames it tells how much colours grow."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from protos.perceiver.v1 import perceiver_pb2 as pb
from server.engine import Engine
from tests.server.flow_talks import GOOD, SIZE, TILES, answers, flowing, unary
from tests.server.pictures import file_of
from tests.server.rpc_calls import (
    call,
    ends,
    field_of,
    frames,
    noise,
    of_error,
    outcome,
    raw,
    streaming,
)
from tests.server.serving import ended

pytestmark = pytest.mark.asyncio(loop_scope="module")

OTHERS = noise(10, 30, 30)  # of another size, as many tiles


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def open_door(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Engine, Any]]:
    async with flowing(tmp_path_factory.mktemp("flow")) as opened:
        yield opened


def growth(first: np.ndarray[Any, Any], second: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    grown: np.ndarray[Any, Any] = second[..., :2].astype(np.float32) - first[..., :2]
    return grown


async def test_each_frame_is_sent_once_and_answered_in_order(open_door: Any) -> None:
    found = await answers(open_door[1], map(raw, GOOD))
    assert ends(found) == [(number, "ok") for number in range(1, 10)]
    for one in found:
        expected = growth(GOOD[one.index - 1], GOOD[one.index])
        np.testing.assert_allclose(field_of(one.flow), expected, atol=1e-3)
        assert one.batch_size >= TILES


KINDS = {
    "good": lambda n: raw(GOOD[n]),
    "other": lambda n: raw(OTHERS[n]),
    "short": lambda _: pb.Image(raw=pb.RawImage(height=24, width=40, rgb=b"123")),
    "nothing": lambda _: pb.Image(),
    "text": lambda _: pb.Image(file=b"no image"),
}
BAD = {"short": "invalid_input", "nothing": "invalid_input", "text": "unsupported_media_type"}


def expected_of(kinds: Sequence[str]) -> list[tuple[int, str]]:
    """The answers to frames of these kinds."""
    found: list[tuple[int, str]] = []
    last: str | None = None
    for number, kind in enumerate(kinds):
        broken, partner, last = number > 0 and last is None, last, None
        if kind in BAD:
            found.append((number, BAD[kind]))
        elif partner not in (None, kind):
            found.append((number, "invalid_input"))
        else:
            last = kind
            if number:
                found.append((number, "pair_broken" if broken else "ok"))
    return found


@settings(
    max_examples=60,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=10))
async def test_pairs_break_and_begin_anew(open_door: Any, kinds: list[str]) -> None:
    engine, channel = open_door
    received, refused = engine.ledger.received["flow", "grpc"], engine.ledger.refused.total()
    found = await answers(channel, (KINDS[kind](n) for n, kind in enumerate(kinds)))
    assert ends(found) == expected_of(kinds)
    bad = sum(one.HasField("error") for one in found)
    assert engine.ledger.received["flow", "grpc"] == received + len(found) - bad
    assert engine.ledger.refused.total() == refused + bad


async def test_files_and_pixels_are_the_same_frames(open_door: Any) -> None:
    _, channel = open_door
    files = [pb.Image(file=file_of(Image.fromarray(frame), "PNG")) for frame in GOOD[:4]]
    as_files = await answers(channel, files)
    mixed = await answers(channel, [raw(GOOD[0]), *files[1:3], raw(GOOD[3])])
    pixels = await answers(channel, map(raw, GOOD[:4]))
    data = [[one.flow.data for one in found] for found in (as_files, mixed, pixels)]
    assert data[0] == data[1] == data[2]
    for kind in ("JPEG", "WEBP"):
        image = pb.Image(file=file_of(Image.fromarray(GOOD[0]), kind))
        assert ends(await answers(channel, [image] * 2)) == [(1, "ok")]
    for frame1 in (raw(GOOD[0]), files[0]):
        pair = pb.FramePair(frame1=frame1, frame2=raw(GOOD[1]))
        found = await call(channel, pb.OpticalFlowRequest(inputs=[pair]))
        assert found.results[0].data == data[2][0]


async def test_fields_come_as_they_are_asked_for(open_door: Any) -> None:
    _, channel = open_door
    pair = [raw(frame) for frame in GOOD[:2]]
    whole = field_of((await answers(channel, pair))[0].flow)
    part = {"region": pb.Region(top=2, left=5, height=20, width=30), "stride": 3}
    wanted = whole[2:22:3, 5:35:3]
    for encoding, dtype, skip in ((1, "<f4", 0), (2, "<f2", 0), (3, "<f4", 12)):
        found = (await answers(channel, pair, encoding=encoding, **part))[0].flow
        assert (found.height, found.width, found.encoding) == (*wanted.shape[:2], encoding)
        numbers = np.frombuffer(found.data[skip:], dtype).reshape(wanted.shape)
        np.testing.assert_allclose(numbers, wanted, atol=1e-3, rtol=1e-3)
        if skip:
            assert found.data[:12] == b"PIEH" + bytes((10, 0, 0, 0, 7, 0, 0, 0))
    drawn = (await answers(channel, pair, encoding=4))[0].flow
    assert drawn.data.startswith(b"\x89PNG")
    request = pb.OpticalFlowRequest(
        options=pb.FlowOptions(encoding=pb.FLOW_ENCODING_PNG, model="flow"),
        inputs=[pb.FramePair(frame1=pair[0], frame2=pair[1])] * 2,
    )
    assert [one.data for one in (await call(channel, request)).results] == [drawn.data] * 2


async def test_an_answer_over_the_limit_is_counted_once(tmp_path: Path) -> None:
    async with flowing(tmp_path, max_message_bytes=SIZE[0] * SIZE[1] * 8) as (engine, channel):
        before = ended(engine, "rejected")
        assert await unary(channel) == ("RESOURCE_EXHAUSTED", "too_large")
        found = await answers(channel, map(raw, GOOD[:3]))
        assert ends(found) == [(1, "too_large"), (2, "too_large")]
        assert "ask for less" in found[0].error.message
        assert (ended(engine, "rejected") - before, ended(engine, "completed")) == (3, 0)
        assert not engine.ledger.refused


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"model": "nobody"}, "NOT_FOUND", "unknown_model"),
        ({"model": "tiny"}, "NOT_FOUND", "unknown_model"),
        ({"model": "optical-flow-perceiver"}, "NOT_FOUND", "model_not_pulled"),
        ({"stride": 0}, "INVALID_ARGUMENT", "invalid_input"),
        ({"encoding": 9}, "INVALID_ARGUMENT", "invalid_input"),
        ({"region": pb.Region(width=4)}, "INVALID_ARGUMENT", "invalid_input"),
    ],
)
async def test_options_that_nothing_satisfies_end_a_stream(
    open_door: Any, options: dict[str, Any], status: str, code: str
) -> None:
    _, channel = open_door
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await answers(channel, [raw(GOOD[0])], **options)
    assert of_error(error.value)[:2] == (status, code)
    pair = pb.FramePair(frame1=raw(GOOD[0]), frame2=raw(GOOD[1]))
    asked = pb.OpticalFlowRequest(inputs=[pair], options=pb.FlowOptions(**options))
    assert await outcome(call(channel, asked)) == (status, code)


async def test_a_region_beyond_the_frames_is_each_pairs_error(open_door: Any) -> None:
    _, channel = open_door
    region = pb.Region(top=20, height=10, width=4)
    found = await answers(channel, map(raw, GOOD[:3]), region=region)
    assert ends(found) == [(1, "invalid_input"), (2, "invalid_input")]
    assert "24×40: it must lie inside" in found[0].error.message


async def test_options_in_a_later_message_are_its_error(open_door: Any) -> None:
    _, channel = open_door
    messages = list(frames(map(raw, GOOD[:4])))
    messages[1].options.stride = 2
    found = [one async for one in streaming(channel, "StreamOpticalFlow")(iter(messages))]
    assert ends(found) == [(1, "invalid_input"), (2, "pair_broken"), (3, "ok")]


async def test_what_is_no_message_ends_a_stream_after_its_answers(open_door: Any) -> None:
    _, channel = open_door
    calling = channel.stream_stream(
        "/perceiver.v1.Perceiver/StreamOpticalFlow", response_deserializer=pb.FlowField.FromString
    )
    good = [message.SerializeToString() for message in frames(map(raw, GOOD[:3]))]
    for messages, answered, code in (
        ([*good, b"\xff"], 2, "malformed"),
        ([*good, b"\x12\x00" * 200], 2, "too_large"),
        ([b"\xff"], 0, "malformed"),
        ([], 0, "malformed"),
    ):
        talk = calling(iter(messages))
        found = [await talk.read() for _ in range(answered)]
        assert ends(found) == [(1, "ok"), (2, "ok")][:answered]
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await talk.read()
        assert of_error(error.value)[1] == code
    assert await answers(channel, [raw(GOOD[0])]) == []
