"""A caller who leaves a stream: the server hears of it, and does nothing for nobody."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

import pytest
from perceiver_client import AsyncClient, Client, PerceiverError

from tests.clients.conftest import cancelled, holding
from tests.clients.footage import Frame, endless, noises
from tests.clients.ways import Way
from tests.live_server import ROOT, LiveServer, until

FLOW = "stream_optical_flow"
FRAMES = noises(2)


def idle(server: LiveServer) -> None:
    until(lambda: server.metric("queued") + server.metric("in_flight") == 0, "an idle server")


def under_way(server: LiveServer) -> None:
    until(lambda: server.metric("in_flight", model="flow") > 0, "a batch on the device")


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
