"""Every way a stream can end but well: told by one error, and the server hears of it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager
from functools import partial
from typing import Any

import grpc
import pytest
from perceiver_client import AsyncClient, Client, PerceiverError
from perceiver_client import perceiver_pb2 as pb

from tests.clients.conftest import holding
from tests.clients.footage import Frame, noises
from tests.clients.peers import tcp
from tests.clients.ways import GRPC_WAYS, Way
from tests.live_server import ROOT, LiveServer, serving, until

FLOW = "stream_optical_flow"
FRAMES = noises(2)
each_way = pytest.mark.parametrize("name", GRPC_WAYS)


def endless() -> Iterator[Frame]:
    """Frames for as long as somebody wants them."""
    while True:
        yield FRAMES[0]


def idle(server: LiveServer) -> None:
    until(lambda: server.metric("queued") + server.metric("in_flight") == 0, "an idle server")


def under_way(server: LiveServer) -> None:
    until(lambda: server.metric("in_flight", model="flow") > 0, "a batch on the device")


def cancelled(server: LiveServer) -> float:
    return server.metric("requests_total", outcome="cancelled", protocol="grpc", model="flow")


# The caller leaves.


def test_closing_the_iterator_gives_up_what_is_under_way(stream_way: Way, live: LiveServer) -> None:
    before = cancelled(live)
    answers = stream_way.answers(FLOW, endless())
    assert next(answers).index == 1
    with holding(live):
        under_way(live)
        answers.close()
        idle(live)
    assert cancelled(live) > before


def test_breaking_out_of_the_loop_is_enough(urls, live: LiveServer) -> None:
    with Client(urls["grpc"]) as client:
        for field in client.stream_optical_flow(endless()):
            assert field.index == 1
            break
        idle(live)  # the client is still open


async def test_breaking_out_of_an_async_loop_is_enough(urls, live: LiveServer) -> None:
    async with AsyncClient(urls["grpc"]) as client:
        async for field in client.stream_optical_flow(endless()):
            assert field.index == 1
            break
        await asyncio.to_thread(idle, live)


async def test_what_an_async_iterable_waits_for_is_cancelled(urls) -> None:
    left = asyncio.Event()

    async def frames() -> AsyncIterator[Frame]:
        yield FRAMES[0]
        yield FRAMES[1]
        try:
            await asyncio.Event().wait()
        finally:
            left.set()

    async with AsyncClient(urls["grpc"]) as client:
        async with aclosing(client.stream_optical_flow(frames())) as fields:
            assert (await anext(fields)).index == 1
        async with asyncio.timeout(60):
            await left.wait()


async def test_cancelling_the_task_ends_the_stream(urls, held: LiveServer) -> None:
    before = cancelled(held)
    async with AsyncClient(urls["grpc"]) as client:

        async def work() -> None:
            async for _ in client.stream_optical_flow(noises(5)):
                pass

        task = asyncio.create_task(work())
        await asyncio.to_thread(under_way, held)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(
            until, lambda: cancelled(held) >= before + 1, "the cancelled requests"
        )


def test_closing_the_client_ends_its_streams(urls, held: LiveServer) -> None:
    client = Client(urls["grpc"])
    with ThreadPoolExecutor() as threads:
        call = threads.submit(list, client.stream_optical_flow(noises(3)))
        under_way(held)
        client.close()
        with pytest.raises(PerceiverError) as caught:
            call.result(60)
    assert caught.value.code == "cancelled"


async def test_closing_the_async_client_ends_its_streams(urls, held: LiveServer) -> None:
    client = AsyncClient(urls["grpc"])
    fields = client.stream_optical_flow(noises(3))
    waiting = asyncio.create_task(anext(fields))
    await asyncio.to_thread(under_way, held)
    await client.close()
    with pytest.raises(PerceiverError) as caught:
        await waiting
    assert caught.value.code == "cancelled"


def test_a_stream_begun_before_the_client_was_closed_says_so(urls) -> None:
    with Client(urls["grpc"]) as client:
        fields = client.stream_optical_flow(FRAMES)
    with pytest.raises(PerceiverError) as caught:
        next(fields)
    assert caught.value.code == "cancelled"
    with pytest.raises(RuntimeError, match="closed"):
        client.stream_optical_flow(FRAMES)


async def test_an_async_stream_begun_before_the_client_was_closed_says_so(urls) -> None:
    async with AsyncClient(urls["grpc"]) as client:
        await client.models()
        fields = client.stream_optical_flow(FRAMES)
    with pytest.raises(PerceiverError) as caught:
        await anext(fields)
    assert caught.value.code == "cancelled"


LEAVING = """
import asyncio, threading, numpy
from perceiver_client import AsyncClient, Client

def frames():
    yield numpy.zeros((4, 4, 3), numpy.uint8)
    yield numpy.zeros((4, 4, 3), numpy.uint8)
    threading.Event().wait()

def blocking():
    for field in Client({url!r}).stream_optical_flow(frames()):
        break

async def main():
    async with AsyncClient({url!r}) as client:
        async for field in client.stream_optical_flow(frames()):
            break

async def unclosed():
    global client, fields
    client = AsyncClient({url!r})
    fields = client.stream_optical_flow(frames())
    await anext(fields)

{call}
print("done", flush=True)
"""


@pytest.mark.parametrize(
    "call",
    [
        "blocking()",
        "asyncio.run(main())",
        "loop = asyncio.new_event_loop(); loop.run_until_complete(unclosed())",
    ],
)
def test_a_process_ends_whose_frames_never_do(call: str, urls, live: LiveServer) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEAVING.format(url=urls["grpc"], call=call)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


# What the caller gives goes wrong.


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


# The server ends it.


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


@contextmanager
def impostor(answers: list[pb.FlowField]) -> Iterator[dict[str, str]]:
    """URLs of a server that gives these answers to every stream of two frames, and ends it."""

    def handle(requests: Iterator[Any], _: grpc.ServicerContext) -> Iterator[Any]:
        next(requests)
        next(requests)
        yield from answers

    method = grpc.stream_stream_rpc_method_handler(
        handle,
        request_deserializer=pb.FlowFrame.FromString,
        response_serializer=pb.FlowField.SerializeToString,
    )
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_registered_method_handlers("perceiver.v1.Perceiver", {"StreamOpticalFlow": method})
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield {"grpc": f"grpc://127.0.0.1:{port}"}
    finally:
        server.stop(None).wait()


def field(**given: Any) -> pb.FlowField:
    values = {"height": 1, "width": 1, "encoding": pb.FLOW_ENCODING_FLOAT32, "data": bytes(8)}
    return pb.FlowField(index=1, flow=pb.Flow(**{**values, **given}))


@each_way
@pytest.mark.parametrize(
    "answers",
    [
        [],
        [field(width=2)],
        [field(data=bytes(7))],
        [field(encoding=pb.FLOW_ENCODING_PNG)],
        [field(), field()],
    ],
)
def test_answers_that_are_none(name: str, answers: list[pb.FlowField]) -> None:
    with impostor(answers) as urls, pytest.raises(PerceiverError) as caught:
        Way(name, urls).stream(FLOW, FRAMES)
    assert caught.value.code == "bad_answer"
