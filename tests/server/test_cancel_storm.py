"""Clients leave by the thousand: their work is not done, nothing of them stays (T5), and who stays
gets his own answer (B6)."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import httpx
import psutil
import pytest

from tests.live_server import LiveServer, serving, until
from tests.open_files import open_files
from tests.server.rpc_calls import TEXT, call, outcome
from tests.server.test_under_load import PATIENCE_S, ask
from tests.server.test_under_load import TEXT as PATH

EACH = 500  # REST connections, and gRPC calls
FEW = 20  # of each, of a client that is killed
LINGER = '[{"on": "forward", "action": "delay", "seconds": 0.02}]'
OUTCOMES = ("completed", "cancelled", "failed", "rejected", "expired")

CLIENT = f"""
import asyncio, sys
import grpc
from tests.server.rpc_calls import TEXT, call
from tests.server.test_cancel_storm import connection

async def main():
    channel = grpc.aio.insecure_channel(sys.argv[2])
    calls = [call(channel, TEXT(inputs=["x"])) for _ in range({FEW})]
    held = [await connection(int(sys.argv[1]), "x") for _ in range({FEW})]
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def connection(port: int, text: str) -> asyncio.StreamWriter:
    """A REST request that has been sent."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps({"inputs": text}).encode()
    head = f"POST /v1/text-classification HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}"
    writer.write(head.encode() + b"\r\n\r\n" + body)
    return writer


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def give_up(calling: Any) -> str:
    calling.cancel()
    try:
        return (await outcome(calling))[0]
    except asyncio.CancelledError:
        return "CANCELLED"


@pytest.fixture(scope="module")
def server(
    model_repository: Path, defaults: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    plan = tmp_path_factory.mktemp("storm") / "plan.json"
    plan.write_text(LINGER)
    room = ("--max-queue", "4000", "--max-streams", "2000")
    with serving(
        "--model-repository", model_repository, *defaults, *room, "--fault-plan", plan
    ) as server:
        assert ask(server.url, "warm").status_code == 200
        yield server


def counts(server: LiveServer) -> dict[str, float]:
    counted = {name: server.metric("requests_total", outcome=name) for name in OUTCOMES}
    return counted | {
        name: server.metric(name) for name in ("received_total", "items_computed_total")
    }


def since(server: LiveServer, before: dict[str, float]) -> dict[str, float]:
    return {name: value - before[name] for name, value in counts(server).items()}


def cancelled_by(server: LiveServer, protocol: str) -> float:
    return server.metric("requests_total", outcome="cancelled", protocol=protocol)


def test_who_leaves_while_waiting_costs_nothing(server: LiveServer) -> None:
    front, worker = psutil.Process(server.process.pid), server.worker()
    before = counts(server)
    files = open_files(front.pid)

    async def storm() -> None:
        async with grpc.aio.insecure_channel(server.grpc_target) as channel:
            worker.suspend()
            try:
                holder = call(channel, TEXT(inputs=["holds the device"]))
                await asyncio.to_thread(server.await_metric, "in_flight", 1)
                calls = [call(channel, TEXT(inputs=[f"call {n}"])) for n in range(EACH)]
                writers = [await connection(server.port, f"post {n}") for n in range(EACH)]
                ports = (str(server.port), server.grpc_target)
                with subprocess.Popen([sys.executable, "-c", CLIENT, *ports]) as client:  # noqa: ASYNC220
                    try:
                        await asyncio.to_thread(server.await_metric, "queued", 2 * (EACH + FEW))
                    finally:
                        client.kill()
                await asyncio.to_thread(server.await_metric, "queued", 2 * EACH)
                await asyncio.gather(*map(hang_up, writers))
                assert {await give_up(one) for one in calls} == {"CANCELLED"}
                await asyncio.to_thread(server.await_metric, "queued", 0)
            finally:
                worker.resume()
            assert (await outcome(holder))[0] == "OK"

    asyncio.run(storm())
    until(server.at_rest, "at rest")
    gone = 2 * (EACH + FEW)
    assert since(server, before) == {
        "received_total": gone + 1,
        "completed": 1,
        "cancelled": gone,
        **dict.fromkeys(("failed", "rejected", "expired"), 0),
        "items_computed_total": 1,
    }
    server.disconnect()
    until(lambda: not open_files(front.pid) - files, "every file is closed")
    assert ask(server.url, "next").status_code == 200


def test_who_leaves_at_any_moment_is_counted_once(server: LiveServer) -> None:
    before = counts(server)
    gone = {protocol: cancelled_by(server, protocol) for protocol in ("rest", "grpc")}
    moments = random.Random(0)

    async def post(number: int) -> None:
        writer = await connection(server.port, f"post {number}")
        await asyncio.sleep(moments.random())
        await hang_up(writer)

    async def storm() -> list[str]:
        async with grpc.aio.insecure_channel(server.grpc_target) as channel:

            async def dial(number: int) -> str:
                calling = call(channel, TEXT(inputs=[f"call {number}"]))
                await asyncio.sleep(moments.random())
                return await give_up(calling)

            await channel.channel_ready()
            posts = asyncio.gather(*map(post, range(200)))
            ends = await asyncio.gather(*map(dial, range(200)))
            await posts
            return ends

    ends = asyncio.run(storm())
    until(server.at_rest, "at rest")
    after = since(server, before)
    assert set(ends) <= {"OK", "CANCELLED"}
    assert after["completed"] >= ends.count("OK")
    for protocol, count in gone.items():
        assert cancelled_by(server, protocol) > count
    assert after["completed"] + after["cancelled"] == after["received_total"] <= 400
    assert after["items_computed_total"] <= after["completed"] + 32 * 4
    sums = server.conservation()
    assert sums["perceiver_received_total"] * 2 == sums.total()


async def test_everyone_gets_his_own_answer_while_half_leave(
    server: LiveServer,
) -> None:  # B6
    texts = [f"text number {n}" for n in range(2000)]
    expected: dict[str, list[float]] = {}
    for start in range(0, len(texts), 100):
        some = texts[start : start + 100]
        answers = server.post("text-classification", json={"inputs": some}).json()
        expected |= {
            text: [label["score"] for label in answer]
            for text, answer in zip(some, answers, strict=True)
        }
    limits = httpx.Limits(max_connections=100)
    async with (
        httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_S, limits=limits) as http,
        grpc.aio.insecure_channel(server.grpc_target) as channel,
    ):

        async def post(text: str) -> list[float]:
            response = await http.post(PATH, json={"inputs": text})
            assert response.status_code == 200, response.text
            return [label["score"] for label in response.json()[0]]

        async def dial(text: str) -> list[float]:
            answer = await call(channel, TEXT(inputs=[text]), timeout=PATIENCE_S)
            return [label.score for label in answer.results[0].labels]

        asked = {
            text: asyncio.create_task((dial if n % 5 else post)(text))
            for n, text in enumerate(texts)
        }
        loop, moments = asyncio.get_running_loop(), random.Random(0)
        for one in list(asked.values())[::2]:
            loop.call_later(moments.random(), one.cancel)
        ends = await asyncio.gather(*asked.values(), return_exceptions=True)
    answered = {text: end for text, end in zip(asked, ends, strict=True) if isinstance(end, list)}
    assert answered == {text: expected[text] for text in answered}
    assert set(texts[1::2]) <= answered.keys()
    assert len(answered) < len(texts)  # and some did leave
