"""A server that ends a stream, or answers what is no answer: told by one error."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest
from perceiver_client import PerceiverError
from perceiver_client import perceiver_pb2 as pb

from tests.clients.conftest import cancelled
from tests.clients.footage import endless, noises
from tests.clients.peers import flow_field, impostor, tcp
from tests.clients.ways import GRPC_WAYS, Way
from tests.live_server import LiveServer, serving, until

FLOW = "stream_optical_flow"
FRAMES = noises(2)
each_way = pytest.mark.parametrize("name", GRPC_WAYS)


def test_an_error_before_the_first_answer(stream_way: Way) -> None:
    for options, code in (
        ({"model": "nobody"}, "unknown_model"),
        ({"model": "text"}, "unknown_model"),
        ({"region": (0, 0, 0, 1)}, "invalid_input"),
    ):
        with pytest.raises(PerceiverError) as caught:
            stream_way.stream(FLOW, endless(), **options)
        assert caught.value.code == code


def test_a_message_that_is_too_large(stream_way: Way) -> None:
    with pytest.raises(PerceiverError) as caught:
        stream_way.stream(FLOW, [FRAMES[0], bytes(65 * 1024 * 1024)])
    assert caught.value.code == "too_large"


@pytest.fixture
def own_server(model_repository, defaults) -> Iterator[LiveServer]:
    """A server to be stopped."""
    with serving("--model-repository", model_repository, *defaults) as server:
        yield server


@contextmanager
def in_both_ways(server: LiveServer) -> Iterator[list[Callable[[], PerceiverError]]]:
    """A stream of each kind that has had an answer; calls that give its further ones."""
    with ThreadPoolExecutor() as threads:
        streams = []
        for name in GRPC_WAYS:
            way = Way(name, {"grpc": f"grpc://{server.grpc_target}"})
            begun = threading.Event()

            def run(way: Way = way, begun: threading.Event = begun) -> PerceiverError:
                answers = way.answers(FLOW, endless())
                next(answers)
                begun.set()
                with pytest.raises(PerceiverError) as caught:
                    for _ in answers:
                        pass
                return caught.value

            streams.append(threads.submit(run))
            assert begun.wait(60)
        yield [partial(stream.result, 60) for stream in streams]


def test_the_server_is_killed(own_server: LiveServer) -> None:
    with in_both_ways(own_server) as streams:
        own_server.signal(signal.SIGKILL)
        assert [end().code for end in streams] == ["unreachable"] * 2


def test_the_server_drains(own_server: LiveServer) -> None:
    with in_both_ways(own_server) as streams:
        own_server.signal(signal.SIGTERM)
        errors = [end() for end in streams]
        assert [error.code for error in errors] == ["draining"] * 2
        assert all(error.retry_after for error in errors)
    assert own_server.exit_code() == 0


def test_an_answer_that_takes_too_long(stream_way: Way, held: LiveServer) -> None:
    before = cancelled(held)
    with pytest.raises(PerceiverError) as caught:
        stream_way.stream(FLOW, noises(3), timeout=1)
    assert (caught.value.code, caught.value.message) == ("deadline", "no answer within 1 s")
    assert caught.value.request_id
    until(lambda: cancelled(held) > before, "the work that nobody waits for any more")


@each_way
@pytest.mark.parametrize("first", [b"", bytes(3) + b"\x04" + bytes(5)])
def test_a_server_that_takes_nothing(name: str, first: bytes) -> None:
    with tcp(first) as urls, pytest.raises(PerceiverError) as caught:
        Way(name, urls).stream(FLOW, FRAMES, timeout=0.3)
    assert caught.value.code == "deadline"


@each_way
def test_nobody_listens(name: str) -> None:
    with pytest.raises(PerceiverError) as caught:
        Way(name, {"grpc": "grpc://127.0.0.1:1"}).stream(FLOW, FRAMES)
    assert caught.value.code == "unreachable"


@each_way
def test_a_deadline_of_something_between_is_told_in_its_words(name: str) -> None:
    ended = impostor([flow_field()], status="DEADLINE_EXCEEDED")
    with ended as urls, pytest.raises(PerceiverError) as caught:
        Way(name, urls).stream(FLOW, FRAMES)
    assert (caught.value.code, caught.value.message) == ("deadline", "not now")


@each_way
@pytest.mark.parametrize(
    "answers",
    [
        [],
        [flow_field(width=2)],
        [flow_field(data=bytes(7))],
        [flow_field(encoding=pb.FLOW_ENCODING_PNG)],
        [flow_field(), flow_field()],
    ],
)
def test_answers_that_are_none(name: str, answers: list[pb.FlowField]) -> None:
    with impostor(answers) as urls, pytest.raises(PerceiverError) as caught:
        Way(name, urls).stream(FLOW, FRAMES)
    assert caught.value.code == "bad_answer"
