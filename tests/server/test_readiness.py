"""Ready or not, on both doors, in every state the server can be in (P9); and a child that ignores
its deadlines holds nobody's connection."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.live_server import LiveServer, serving, until
from tests.server.pictures import encoded
from tests.server.rpc_calls import IMAGE, TEXT, call, channel_to, of_error
from tests.server.test_under_load import PATIENCE_S, ask

HANG = '[{"on": "start", "action": "hang"}]'
CRASH = '[{"on": "start", "action": "crash"}]'


class Probes:
    """What a balancer asks, on both doors."""

    def __init__(self, server: LiveServer, channel: Any) -> None:
        self.server = server
        self._health = health_pb2_grpc.HealthStub(channel)

    def serving(self, service: str = "") -> bool:
        answer = self._health.Check(health_pb2.HealthCheckRequest(service=service), timeout=60)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def until(self, ready: bool, state: str) -> None:
        """Both doors say so, and stay with it; the server lives in every state."""
        until(lambda: self.look() == (ready, ready), f"{state}: ready = {ready}")
        for _ in range(5):
            assert self.look() == (ready, ready), state

    def look(self) -> tuple[bool, bool]:
        assert httpx.get(self.server.url + "/livez", timeout=PATIENCE_S).status_code == 200
        ready = httpx.get(self.server.url + "/readyz", timeout=PATIENCE_S).status_code
        assert ready in (200, 503)
        return ready == 200, self.serving()

    def code(self) -> str:
        """Why it is not ready."""
        return str(httpx.get(self.server.url + "/readyz", timeout=PATIENCE_S).json()["code"])


def test_the_truth_table(model_repository: Path, defaults: tuple[str, ...], tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(CRASH)
    flags = ("--max-queue", "2", "--batch-timeout-s", "3", "--drain-delay-s", "60")
    with (
        serving(
            "--model-repository", model_repository, *defaults, *flags, "--fault-plan", plan
        ) as server,
        channel_to(server) as channel,
        ThreadPoolExecutor(4) as pool,
    ):
        probes = Probes(server, channel)
        probes.until(False, "starting")
        assert probes.code() == "starting"

        plan.write_text("[]")
        probes.until(True, "started, nothing loaded")

        with server.holding():
            first = pool.submit(ask, server.url, "first")
            until(lambda: b'"loading"' in server.http.get("/v1/models").content, "loading")
            probes.until(True, "loading")
        assert first.result().status_code == 200

        with server.holding():
            asked = [pool.submit(ask, server.url, "in hand")]
            server.await_metric("in_flight", 1)
            asked += [pool.submit(ask, server.url, "waits") for _ in range(2)]
            server.await_metric("queued", 2)
            assert ask(server.url, "one too many").status_code == 429
            assert probes.look() == (True, True), "overloaded"
        assert [one.result().status_code for one in asked] == [200] * 3

        broken = server.post("text-classification?model=truncated", json={"inputs": "x"})
        assert broken.json()["code"] == "load_failed"
        assert not probes.serving("truncated")
        probes.until(True, "a model has failed")

        plan.write_text(HANG)
        with server.holding():
            assert ask(server.url, "hangs").json()["code"] == "worker_died"
        probes.until(False, "no worker")
        assert probes.code() == "starting"
        assert not probes.serving("text")
        plan.write_text("[]")
        server.worker().kill()
        probes.until(True, "a new worker")

        server.signal()
        probes.until(False, "draining")
        assert probes.code() == "draining"
        assert ask(server.url, "still served").status_code == 200


def test_who_has_read_the_welcome_is_served(model_repository: Path) -> None:
    with serving("--model-repository", model_repository) as server, channel_to(server) as channel:
        assert Probes(server, channel).look() == (True, True)


@pytest.mark.parametrize(
    ("name", "path", "body", "request_"),
    [
        ("worker", "text-classification", b'{"inputs": "x"}', TEXT(inputs=["x"])),
        (
            "media_child",
            "image-classification",
            encoded("PNG"),
            IMAGE(inputs=[encoded("PNG")]),
        ),
    ],
)
def test_a_child_that_ignores_deadlines_holds_no_connection(
    live: LiveServer, name: str, path: str, body: bytes, request_: Any
) -> None:
    expired = live.metric("requests_total", outcome="expired")
    assert live.post(path, content=body).status_code == 200
    with live.holding(name), channel_to(live) as channel:
        for _ in range(3):  # the first have the children, the others wait for them
            late = live.post(path, content=body, headers={"X-Timeout-Ms": "200"}, timeout=5)
            assert (late.status_code, late.json()["code"]) == (504, "deadline")
            with pytest.raises(grpc.RpcError) as caught:
                call(channel, request_, timeout=0.2)
            assert of_error(caught.value)[0] == "DEADLINE_EXCEEDED"
        live.await_metric("requests_total", expired + 6, outcome="expired")
        assert live.metric("queued") == live.metric("in_flight") == 0
        assert live.http.get("/livez").status_code == 200
        assert live.http.get("/readyz").status_code == 200
    assert live.post(path, content=body).status_code == 200
