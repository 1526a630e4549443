"""A real server in a real process, on a port of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parent.parent
LIGHT = ("-m", "tests.server.light_server")  # whose worker starts at once, and has no model
GAUGES = ("perceiver_received_total", "perceiver_queued", "perceiver_in_flight")


class LiveServer:
    """What a test does with a running server."""

    def __init__(
        self, process: subprocess.Popen[str], url: str, grpc_target: str, log: Path
    ) -> None:
        self.process = process
        self.url = url
        self.grpc_target = grpc_target
        self.port = int(url.rpartition(":")[2])
        self._log = log
        self.http = self._client()

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60)

    def disconnect(self) -> None:
        """Closes what `http` keeps open: more than one, where threads have used it at once."""
        self.http.close()
        self.http = self._client()

    def post(self, task: str, **request: Any) -> httpx.Response:
        return self.http.post(f"/v1/{task}", **request)

    def log(self) -> str:
        return self._log.read_text()

    def metric(self, name: str, **labels: str) -> float:
        """Sum of a metric's samples that carry these labels."""
        families = text_string_to_metric_families(self.http.get("/metrics").text)
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == f"perceiver_{name}" and labels.items() <= sample.labels.items()
        )

    def await_metric(self, name: str, value: float, **labels: str) -> None:
        """Asks until a metric has a value."""
        until(lambda: self.metric(name, **labels) == value, f"{name} {labels} = {value}")

    def conservation(self) -> Counter[str]:
        """What the law adds up, from one scrape: received minus all the rest must be 0."""
        sums: Counter[str] = Counter()
        for family in text_string_to_metric_families(self.http.get("/metrics").text):
            for sample in family.samples:
                if sample.name == "perceiver_requests_total":
                    sums[sample.labels["outcome"]] += int(sample.value)
                elif sample.name in GAUGES:
                    sums[sample.name] += int(sample.value)
        return sums

    def children(self, name: str) -> list[psutil.Process]:
        """Those of a kind: `worker`, `media_child`."""
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if any(p.endswith(name) for p in child.cmdline())]

    def worker(self) -> psutil.Process:
        [worker] = self.children("worker")
        return worker

    @contextmanager
    def holding(self, name: str = "worker") -> Iterator[None]:
        """The children of a kind stand still until the block ends, or they are killed."""
        children = self.children(name)
        assert children
        for child in children:
            child.suspend()
        try:
            yield
        finally:
            for child in children:
                with suppress(psutil.NoSuchProcess):
                    child.resume()

    def at_rest(self) -> bool:
        """Nothing waits, nothing runs."""
        return self.metric("queued") == self.metric("in_flight") == 0

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def exit_code(self, limit_s: float = 40) -> int:
        return self.process.wait(limit_s)

    @contextmanager
    def socket(self) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as sock:
            yield sock


@contextmanager
def serving(
    *arguments: str | Path, program: Sequence[str] = ("-m", "server")
) -> Iterator[LiveServer]:
    """`perceiver-server serve` with these arguments, until the block ends."""
    command = [sys.executable, *program, "serve", "--http-port", "0", "--grpc-port", "0"]
    command += ["--threads", "1"]
    with (
        tempfile.TemporaryDirectory() as folder,
        Path(folder, "log").open("w") as log,
        subprocess.Popen(
            [*command, *map(str, arguments)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={k: v for k, v in os.environ.items() if not k.startswith("PERCEIVER_")},
        ) as process,
    ):
        try:
            assert process.stdout is not None
            found = re.search(r"(http://\S+) and grpc://(\S+)", process.stdout.readline())
            assert found, Path(log.name).read_text()
            server = LiveServer(process, found[1], found[2], Path(log.name))
            try:
                yield server
            finally:
                server.http.close()
        finally:
            process.terminate()
            try:
                process.wait(40)
            finally:
                process.kill()


def received(sock: socket.socket, marker: bytes) -> bytes:
    """What arrives until the marker is in it, or until the other side closes."""
    data = b""
    while marker not in data and (chunk := sock.recv(65536)):
        data += chunk
    return data


def until(condition: Callable[[], bool], what: str, limit_s: float = 60) -> None:
    """Asks again and again until it is so, and leaves the processor to whom it waits for."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.002)
