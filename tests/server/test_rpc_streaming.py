"""Long streams at a live server: the bits of unary calls, many at once, a reader that sleeps, a
client that is killed."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from protos.perceiver.v1 import perceiver_pb2 as pb
from tests.live_server import LIGHT, LiveServer, serving, until
from tests.server.rpc_calls import call, channel_to, ends, frames, noise, raw, streaming
from tests.tiny import make_optical_flow

TILES = 4
SMALL = (24, 40)  # four tiles of 16 x 24
LARGE, LARGE_TILE = (256, 384), [140, 200]  # four tiles; 0.3 MB, and 0.8 MB of flow
MOST_GROWTH = 32 * 1024 * 1024

CLIENT = """
import sys
import grpc
from tests.server.rpc_calls import frames, noise, raw, streaming

channel = grpc.insecure_channel(sys.argv[1])
answers = streaming(channel, "StreamOpticalFlow")(frames(map(raw, noise(200, 64, 96))))
next(answers)
print("one", flush=True)
sys.stdin.readline()
list(answers)
"""


@contextmanager
def flow_server(folder: Path, *program: str, **sizes: Any) -> Iterator[LiveServer]:
    make_optical_flow(folder / "flow", **sizes)
    flags = ("--model-repository", folder, "--default-models", "optical-flow=flow")
    with serving(*flags, program=program or ("-m", "server")) as server:
        with channel_to(server) as channel:
            assert len(list(stream(channel, noise(2, *SMALL)))) == 1
        yield server


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server whose device takes no time."""
    folder = tmp_path_factory.mktemp("quick")
    with flow_server(folder, *LIGHT, train_size=LARGE_TILE) as server:
        yield server


def stream(channel: Any, images: Any) -> Any:
    return streaming(channel, "StreamOpticalFlow")(frames(map(raw, images)))


@contextmanager
def lawful(server: LiveServer) -> Iterator[None]:
    """All along, what was received is what has ended, waits or runs."""
    sums: list[Counter[str]] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05) or not sums:
            sums.append(server.conservation())

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            yield
        finally:
            done.set()
        watching.result()
    assert [one for one in sums if one["perceiver_received_total"] * 2 != one.total()] == []


@pytest.mark.parametrize("count", [24, pytest.param(200, marks=pytest.mark.full)])
def test_a_stream_has_the_bits_of_unary_calls(tmp_path: Path, count: int) -> None:
    images = noise(count, *SMALL)
    with flow_server(tmp_path) as server, channel_to(server) as channel, lawful(server):
        with ThreadPoolExecutor(2) as pool:
            one, other = pool.map(lambda _: list(stream(channel, images)), range(2))
        pairs = [pb.FramePair(frame1=raw(a), frame2=raw(b)) for a, b in pairwise(images)]
        unary = [
            flow.data
            for start in range(0, count - 1, 50)
            for flow in call(
                channel, pb.OpticalFlowRequest(inputs=pairs[start : start + 50])
            ).results
        ]
        for found in (one, other):
            assert ends(found) == [(number, "ok") for number in range(1, count)]
            assert [answer.flow.data for answer in found] == unary
            assert max(answer.batch_size for answer in found) > TILES  # more than its own pair
        assert len(set(unary)) == count - 1


def test_twenty_streams_at_once(quick: LiveServer) -> None:
    images = noise(20, *SMALL)
    with channel_to(quick) as channel, ThreadPoolExecutor(20) as pool, lawful(quick):
        expected = [answer.flow for answer in stream(channel, images)]
        for found in pool.map(lambda _: list(stream(channel, images)), range(20)):
            assert [answer.flow for answer in found] == expected
    assert quick.at_rest()


def memory_of(server: LiveServer) -> int:
    """Bytes in memory of the server and its children."""
    front = psutil.Process(server.process.pid)
    return sum(process.memory_info().rss for process in (front, *front.children(recursive=True)))


def test_a_reader_that_sleeps_costs_little(quick: LiveServer) -> None:
    images = noise(8, *LARGE)
    with channel_to(quick) as channel, lawful(quick):
        list(stream(channel, images * 6))  # what work on large frames takes, once
    before, received = memory_of(quick), quick.metric("received_total")
    with channel_to(quick, ("grpc.http2.bdp_probe", 0)) as channel:
        sleepy = stream(channel, (images[n % 8] for n in range(200)))
        await_stillness(quick, received)
        grown = memory_of(quick) - before
        assert quick.metric("received_total") < received + 40  # of 199 pairs
        assert grown <= MOST_GROWTH
        assert ends(sleepy) == [(number, "ok") for number in range(1, 200)]
    assert memory_of(quick) - before <= MOST_GROWTH


def await_stillness(server: LiveServer, received: float) -> None:
    """Returns when more than `received` pairs have come, and nothing happens any more."""
    before = received

    def still() -> bool:
        nonlocal before
        time.sleep(0.3)  # how far apart two looks are; a busy server only takes more of them
        now = server.metric("received_total")
        same, before = now == before, now
        return same and now > received and server.at_rest()

    until(still, "what can be done is done")


def test_a_killed_client_leaves_nothing(quick: LiveServer) -> None:
    front = psutil.Process(quick.process.pid)
    files, cancelled = front.num_fds(), quick.metric("requests_total", outcome="cancelled")
    received = quick.metric("received_total")
    command = [sys.executable, "-c", CLIENT, quick.grpc_target]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as client, lawful(quick):
        assert client.stdin is not None
        assert client.stdout is not None
        try:
            assert client.stdout.readline() == "one\n"
            await_stillness(quick, received)
            with quick.holding():
                client.stdin.write("read on\n")
                client.stdin.flush()
                until(lambda: quick.metric("in_flight") > 0, "pairs on the device")
                # One batch may hold all of them.
                until(lambda: quick.metric("queued") + quick.metric("in_flight") >= 3, "pairs")
                on_device = quick.metric("in_flight")  # a row each
                client.kill()
                until(quick.at_rest, "queued work is gone")
                computed = quick.metric("items_computed_total")
        finally:
            client.kill()
    assert quick.metric("requests_total", outcome="cancelled") >= cancelled + 3
    with channel_to(quick) as channel:
        assert ends(stream(channel, noise(2, *SMALL))) == [(1, "ok")]
    # And the pair that was asked for just now.
    assert quick.metric("items_computed_total") <= computed + on_device + 1
    until(lambda: abs(front.num_fds() - files) <= 2, "every file is closed")
    assert "our bug" not in quick.log()
