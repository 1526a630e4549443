"""A caller who gives up, closes or leaves: the server hears of it, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from perceiver_client import AsyncClient, Client, PerceiverError

from tests.clients.peers import peer, refusal
from tests.clients.ways import Way
from tests.live_server import ROOT, LiveServer, until
from tests.server.pictures import encoded

SCHEMES = pytest.mark.parametrize("scheme", ["http", "grpc"])
PROTOCOLS = {"http": "rest", "grpc": "grpc"}
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def cancelled(server: LiveServer, scheme: str) -> float:
    return server.metric("requests_total", outcome="cancelled", protocol=PROTOCOLS[scheme])


@SCHEMES
async def test_cancelling_a_call_reaches_the_server(scheme: str, urls, held: LiveServer) -> None:
    before = cancelled(held, scheme)
    async with AsyncClient(urls[scheme]) as client:
        call = asyncio.create_task(client.text_classification("nobody will read this"))
        await asyncio.to_thread(held.await_metric, "in_flight", 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.to_thread(
            held.await_metric,
            "requests_total",
            before + 1,
            outcome="cancelled",
            protocol=PROTOCOLS[scheme],
        )


INTERRUPTED = """
import sys
from perceiver_client import Client
client = Client({url!r})
try:
    client.text_classification("a")
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.stdin.read()
"""


@SCHEMES
def test_ctrl_c_in_a_blocking_call_reaches_the_server(scheme: str, urls, held: LiveServer) -> None:
    before = cancelled(held, scheme)
    command = [sys.executable, "-c", INTERRUPTED.format(url=urls[scheme])]
    with subprocess.Popen(
        command, cwd=ROOT, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        held.await_metric("in_flight", 1)
        process.send_signal(signal.SIGINT)
        held.await_metric(
            "requests_total", before + 1, outcome="cancelled", protocol=PROTOCOLS[scheme]
        )
        assert process.communicate("", timeout=60)[0] == "interrupted\n"


async def test_the_first_error_ends_the_rest_of_the_images(urls, live: LiveServer) -> None:
    def count() -> float:
        return live.metric("received_total", protocol="rest", model="image")

    before = count()
    async with AsyncClient(urls["http"]) as client:
        with pytest.raises(PerceiverError):
            await client.image_classification([b"no image", *[encoded("PNG")] * 100])
        while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110  # nothing tells when tasks have ended
            await asyncio.sleep(0)
    assert count() - before < 100


@SCHEMES
def test_closing_the_client_ends_the_calls_of_other_threads(scheme: str, urls, held) -> None:
    client = Client(urls[scheme])
    with ThreadPoolExecutor() as threads:
        call = threads.submit(client.text_classification, "a")
        held.await_metric("in_flight", 1)
        client.close()
        with pytest.raises(PerceiverError) as caught:
            call.result(60)
    assert caught.value.code == "cancelled"


@SCHEMES
def test_closing_the_client_ends_what_waits_to_be_tried_again(scheme: str) -> None:
    full = refusal("queue_full", 429, "RESOURCE_EXHAUSTED", after_s=1)
    with peer(full) as script, ThreadPoolExecutor() as threads:
        client = Client(script.urls[scheme])
        call = threads.submit(client.text_classification, "a")
        until(lambda: len(script.seen) == 1, "the first try")
        client.close()
        with pytest.raises(PerceiverError) as caught:
            call.result(60)
    assert caught.value.code == "cancelled"
    assert len(script.seen) == 1


def test_a_closed_client_says_so(way: Way) -> None:
    with Client(way.url) as client:
        pass
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.models()


@SCHEMES
def test_threads_may_share_a_client(scheme: str, urls) -> None:
    texts = [f"text number {number}" for number in range(64)]
    with Client(urls[scheme]) as client, ThreadPoolExecutor(16) as threads:
        expected = client.text_classification(texts)
        assert list(threads.map(client.text_classification, texts)) == expected


@SCHEMES
async def test_tasks_may_share_an_async_client(scheme: str, urls) -> None:
    texts = [f"text number {number}" for number in range(64)]
    async with AsyncClient(urls[scheme]) as client:
        expected = await client.text_classification(texts)
        assert await asyncio.gather(*map(client.text_classification, texts)) == expected


LEAVING = """
import threading
from perceiver_client import Client
client = Client({url!r})
client.models()
{more}
print("done", flush=True)
"""
IN_A_CALL = """
call = threading.Thread(target=client.text_classification, args=("a",), daemon=True)
call.start()
"""


@SCHEMES
@pytest.mark.parametrize("more", ["", IN_A_CALL])
def test_a_process_ends_that_has_not_closed_its_client(scheme: str, more: str, urls, held) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEAVING.format(url=urls[scheme], more=more)],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


FORKED = """
import os, sys
from perceiver_client import Client
client = Client({url!r})
if os.fork() == 0:
    try:
        client.models()
    except RuntimeError as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
"""


def test_a_client_from_before_a_fork_says_so(urls) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED.format(url=urls["http"])],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "before a fork" in done.stdout
