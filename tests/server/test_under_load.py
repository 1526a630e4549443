"""Both doors while things go wrong underneath: a full queue, a worker that dies or hangs."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
import psutil

from tests.live_server import LIGHT, LiveServer, serving, until
from tests.open_files import open_files
from tests.server.rpc_calls import TEXT as CALL
from tests.server.rpc_calls import call, channel_to, of_error

TEXT = "/v1/text-classification"
PATIENCE_S = 60.0


def ask(url: str, text: str) -> httpx.Response:
    return httpx.post(url + TEXT, json={"inputs": text}, timeout=PATIENCE_S)


def test_a_full_queue_says_when_to_come_back(
    model_repository: Path, defaults: tuple[str, ...]
) -> None:
    flags = (*defaults, "--max-queue", "4")
    with (
        serving("--model-repository", model_repository, *flags, program=LIGHT) as server,
        ThreadPoolExecutor(5) as pool,
    ):
        assert ask(server.url, "warm").status_code == 200
        with server.holding():
            running = [pool.submit(ask, server.url, "on the device")]
            server.await_metric("in_flight", 1)
            running += [pool.submit(ask, server.url, f"waits {n}") for n in range(4)]
            server.await_metric("queued", 4)
            refused = ask(server.url, "one too many")
        assert (refused.status_code, refused.json()["code"]) == (429, "queue_full")
        assert int(refused.headers["Retry-After"]) >= 1
        assert [answer.result().status_code for answer in running] == [200] * 5
        assert ask(server.url, "there is room again").status_code == 200
        assert server.metric("requests_total", outcome="rejected") == 1


class Load:
    """Clients that ask without pause, and somebody who looks all along."""

    def __init__(self, server: LiveServer) -> None:
        self.server = server
        self.outcomes: Counter[str] = Counter()
        self.lives: Counter[int] = Counter()
        self.reasons: list[str] = []  # why a worker was lost
        self.unlawful: list[Counter[str]] = []
        self.done = threading.Event()

    def client(self) -> None:
        with httpx.Client(base_url=self.server.url, timeout=PATIENCE_S) as http:
            while not self.done.is_set():
                response = http.post(TEXT, json={"inputs": "under load"})
                answer = response.json()
                code = "ok" if response.status_code == 200 else answer["code"]
                if code == "worker_died":
                    assert response.status_code == 503
                    assert int(response.headers["Retry-After"]) >= 1
                self.outcomes[code] += 1
                if code == "worker_died":
                    self.reasons.append(answer["error"])

    def caller(self) -> None:
        """As `client`, over gRPC."""
        with channel_to(self.server) as channel:
            while not self.done.is_set():
                try:
                    call(channel, CALL(inputs=["under load"]), timeout=PATIENCE_S)
                except grpc.RpcError as error:
                    status, code, reason = of_error(error)
                    self.reasons.append(reason)
                    assert (status, code) == ("UNAVAILABLE", "worker_died")
                    self.outcomes[code] += 1
                else:
                    self.outcomes["ok"] += 1

    def until_answered(self, more: int) -> None:
        self.until_counted("ok", self.outcomes["ok"] + more)

    def until_alive(self, more: int) -> None:
        count = self.lives[200] + more
        until(lambda: self.lives[200] >= count, "/livez answers")

    def until_counted(self, code: str, count: int) -> None:
        until(lambda: self.outcomes[code] >= count, f"{count} {code}: {self.outcomes}")

    def watch(self) -> None:
        while not self.done.is_set():
            life = httpx.get(self.server.url + "/livez", timeout=PATIENCE_S)
            self.lives[life.status_code] += 1
            sums = self.server.conservation()
            if sums["perceiver_received_total"] * 2 != sums.total():
                self.unlawful.append(sums)


def test_a_lost_worker_costs_only_what_it_had_in_hand(
    model_repository: Path, defaults: tuple[str, ...]
) -> None:  # P3, P4, M1
    flags = (*defaults, "--batch-timeout-s", "5")
    with (
        serving("--model-repository", model_repository, *flags, program=LIGHT) as server,
        ThreadPoolExecutor(9) as pool,
    ):
        assert ask(server.url, "warm").status_code == 200
        with channel_to(server) as channel:
            call(channel, CALL(inputs=["warm"]))
        assert server.metric("worker_restarts_total") == 0
        front = psutil.Process(server.process.pid)
        files, children = open_files(front.pid), len(front.children())
        load = Load(server)
        try:
            watching = pool.submit(load.watch)
            clients = [pool.submit(load.client) for _ in range(4)]
            clients += [pool.submit(load.caller) for _ in range(4)]
            for kill in (True, True, False):
                load.until_answered(50)
                worker = server.worker()
                worker.suspend()
                until(lambda: server.metric("in_flight") > 0, "something in hand")
                died = load.outcomes["worker_died"]
                load.reasons.clear()
                if kill:
                    worker.kill()
                else:
                    load.until_alive(2)
                load.until_counted("worker_died", died + 1)
                worker.wait(30)
                # A death is told as such, at once; only a worker that hangs is waited for.
                assert load.reasons
                assert all(("the process ended" in reason) == kill for reason in load.reasons)
            load.until_answered(50)  # by the fourth worker
        finally:
            load.done.set()
        for client in clients:
            client.result()
        watching.result()
        assert set(load.outcomes) == {"ok", "worker_died"}
        assert load.outcomes["worker_died"] <= 3 * 8
        for protocol in ("rest", "grpc"):
            assert server.metric("requests_total", outcome="failed", protocol=protocol) > 0
        assert set(load.lives) == {200}
        assert load.unlawful == []
        assert server.metric("worker_restarts_total") == 3
        server.disconnect()
        until(
            lambda: (open_files(front.pid) - files).total() == 1,
            "of all that was opened since, only the fourth worker's socket is open",
        )
        assert len(front.children()) == children
        assert all(child.status() != psutil.STATUS_ZOMBIE for child in front.children())
