"""What a caller gives to a stream and is none, or breaks: told as it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from perceiver_client import PerceiverError

from tests.clients.footage import Frame, noises
from tests.clients.ways import Way
from tests.live_server import ROOT

FLOW = "stream_optical_flow"
FRAMES = noises(2)


class Broken(Exception):
    """Of a test's own frames."""


@pytest.mark.parametrize("good", [0, 1, 3])
def test_what_the_frames_raise_comes_after_the_last_answer(stream_way: Way, good: int) -> None:
    error = Broken()

    def frames() -> Iterator[Frame]:
        yield from noises(good)
        raise error

    answers = stream_way.answers(FLOW, frames())
    assert [next(answers).index for _ in range(1, good)] == list(range(1, good))
    with pytest.raises(Broken) as caught:
        next(answers)
    assert caught.value is error


@pytest.mark.parametrize(
    ("bad", "kind", "sentence"),
    [
        ("a path", TypeError, "frame 1 must be bytes, pathlib.Path or a uint8 array"),
        (FRAMES[0] / 255, TypeError, "frame 1 must be RGB uint8"),
        (ROOT / "no such file", FileNotFoundError, "no such file"),
        (b"", PerceiverError, "frame 1 is empty"),
    ],
)
def test_a_frame_that_is_none(stream_way: Way, bad: Any, kind: Any, sentence: str) -> None:
    with pytest.raises(kind, match=sentence):
        stream_way.stream(FLOW, [FRAMES[0], bad, FRAMES[1]])


def test_what_is_no_iterable(stream_way: Way) -> None:
    with pytest.raises(TypeError, match="not iterable"):
        stream_way.stream(FLOW, 3)


def test_no_frame_at_all(stream_way: Way) -> None:
    with pytest.raises(PerceiverError, match="no message"):
        stream_way.stream(FLOW, [])
