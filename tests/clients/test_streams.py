"""What goes through a stream: in order, one answer for each, as much as is read and no more."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest
from perceiver_client import AsyncClient, Client, PerceiverError
from perceiver_client.streams import Patience

from tests.clients.footage import Frame, chunk, noise, noises, png
from tests.clients.ways import Way
from tests.live_server import LiveServer, until

FLOW = "stream_optical_flow"


def test_fields_are_those_of_the_pairs_in_order(stream_way: Way) -> None:
    frames = noises(6)
    fields = stream_way.stream(FLOW, iter(frames))
    assert [field.index for field in fields] == [1, 2, 3, 4, 5]
    for field in fields:
        assert field.error is None
        assert field.batch_size >= 1
        one, two = frames[field.index - 1], frames[field.index]
        assert np.array_equal(field.flow, stream_way.ask("optical_flow", one, two))


def test_frames_are_pixels_files_or_their_paths(stream_way: Way, tmp_path) -> None:
    path = tmp_path / "frame.png"
    path.write_bytes(png(noise(1)))
    mixed = stream_way.stream(FLOW, [noise(0), path, png(noise(2))])
    pixels = stream_way.stream(FLOW, noises(3))
    assert all(np.array_equal(a.flow, b.flow) for a, b in zip(mixed, pixels, strict=True))


def test_options_hold_for_the_whole_stream(stream_way: Way) -> None:
    options = {"region": (2, 3, 9, 9), "stride": np.int64(4), "model": "flow"}
    for field in stream_way.stream(FLOW, noises(3), **options):
        pair = noise(field.index - 1), noise(field.index)
        assert np.array_equal(field.flow, stream_way.ask("optical_flow", *pair, **options))
        assert field.flow.shape == (3, 3, 2)


async def test_an_async_client_takes_an_async_iterable(urls) -> None:
    async def frames() -> AsyncIterator[Frame]:
        for frame in noises(3):
            await asyncio.sleep(0)
            yield frame

    async with AsyncClient(urls["grpc"]) as client:
        found = [field.flow async for field in client.stream_optical_flow(frames())]
        expected = [field.flow async for field in client.stream_optical_flow(noises(3))]
    assert len(found) == 2
    assert np.array_equal(found, expected)


def test_a_bad_frame_is_told_in_the_stream_which_goes_on(stream_way: Way) -> None:
    frames = [noise(0), noise(1), b"no image", noise(3), noise(4), noise(5, (21, 30)), noise(6)]
    fields = stream_way.stream(FLOW, frames)
    codes = [field.error and field.error.code for field in fields]
    broken, wrong = "pair_broken", "invalid_input"
    assert codes == [None, "unsupported_media_type", broken, None, wrong, broken]
    assert [field.index for field in fields] == [1, 2, 3, 4, 5, 6]
    expected = stream_way.ask("optical_flow", noise(3), noise(4))
    assert np.array_equal(fields[3].flow, expected)
    with pytest.raises(PerceiverError) as caught:
        fields[1].flow  # noqa: B018  # to look is to raise
    assert caught.value is fields[1].error
    assert caught.value.request_id


def test_a_single_frame_has_no_flow(stream_way: Way) -> None:
    assert stream_way.stream(FLOW, [noise(0)]) == []


def test_chunks_are_answered_like_single_ones(stream_way: Way) -> None:
    method, outputs = "multimodal_autoencoding", ["label", "video", "audio"]
    chunks = [chunk(seed) for seed in range(4)]
    results = stream_way.stream(f"stream_{method}", chunks, outputs=outputs, top_k=2)
    assert [result.index for result in results] == [0, 1, 2, 3]
    expected = stream_way.ask(method, chunks, outputs=outputs, top_k=2)
    for result, clip in zip(results, expected, strict=True):
        assert result.clip.labels == clip.labels
        assert np.array_equal(result.clip.video, clip.video)
        assert np.array_equal(result.clip.audio, clip.audio)


def test_a_bad_chunk_is_told_in_the_stream_which_goes_on(stream_way: Way) -> None:
    chunks = [chunk(0), type(chunk(0))(noises(2, (3, 3))), chunk(2)]
    results = stream_way.stream("stream_multimodal_autoencoding", chunks)
    assert [one.error and one.error.code for one in results] == [None, "invalid_input", None]
    assert results[2].clip.labels


def test_an_answer_is_there_before_the_next_frame_is_sent(stream_way: Way) -> None:
    """As from a camera, or where the next frame depends on what came out."""
    answered = threading.Semaphore(2)

    def frames() -> Iterator[Frame]:
        for frame in noises(5):
            assert answered.acquire(timeout=60)
            yield frame

    for field in stream_way.answers(FLOW, frames()):
        assert field.error is None
        answered.release()


def test_frames_are_taken_no_faster_than_they_are_answered(stream_way: Way) -> None:
    taken = 0

    def frames() -> Iterator[Frame]:
        nonlocal taken
        large = noise(0, (400, 400))
        while taken < 2000:
            taken += 1
            yield large

    answers = stream_way.answers(FLOW, frames(), region=(0, 0, 2, 2))
    for _ in range(5):
        assert next(answers).flow.shape == (2, 2, 2)
    answers.close()
    assert taken < 200


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_rest_has_no_streams_and_says_where_they_are(kind: Any, urls) -> None:
    for method in (FLOW, "stream_multimodal_autoencoding"):
        with pytest.raises(PerceiverError, match=r"ask a Client of grpc://HOST:PORT") as caught:
            getattr(kind(urls["http"]), method)([])
        assert caught.value.code == "invalid_input"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"top_k": 3}, "no option 'top_k'; it has region, stride, model, timeout"),
        ({"region": (0, 0)}, "region must be"),
        ({"stride": "2"}, "stride must be an int"),
    ],
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_programming_errors_are_type_errors_at_once(kind: Any, options, sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        kind("grpc://127.0.0.1:1").stream_optical_flow([], **options)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_help_names_the_options(kind: type[Client]) -> None:
    parameters = inspect.signature(kind.stream_optical_flow).parameters
    assert {*parameters} == {"self", "frames", "region", "stride", "model", "timeout"}
    assert "every n-th" in str(kind.optical_flow.__doc__)
    assert "nothing in it is tried again" in str(kind.stream_optical_flow.__doc__)


class Clock:
    """Time as the test says."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_patience_ends_only_while_the_server_owes_what_the_caller_waits_for() -> None:
    clock = Clock()
    patience = Patience(30, 1, clock)
    patience.waits(True)
    assert patience.until() is None  # nothing has been sent
    clock.now = 200
    patience.sends()
    assert patience.until() == 230  # it has to be taken
    clock.now = 210
    patience.sent()
    assert patience.until() is None  # the first frame has no answer
    clock.now = 300
    patience.sends()
    patience.sent()
    patience.sends()
    assert patience.until() == 330
    clock.now = 310
    patience.answered()
    assert patience.until() == 340  # one more is owed
    patience.waits(False)
    assert patience.until() is None  # the caller is busy
    clock.now = 400
    patience.waits(True)
    assert patience.until() == 430
    patience.answered()
    assert patience.until() is None
    assert not patience.complete()
    clock.now = 500
    patience.ends()
    assert patience.until() == 530  # the end is owed, too
    patience.answered()
    assert patience.complete()


def test_everything_is_counted_once_and_given_back(stream_way: Way, live: LiveServer) -> None:
    def received() -> float:
        return live.metric("received_total", protocol="grpc", model="flow")

    before = received()
    assert len(stream_way.stream(FLOW, noises(8))) == 7
    assert received() == before + 7
    until(lambda: live.metric("queued") + live.metric("in_flight") == 0, "an idle server")
