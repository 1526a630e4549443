"""Who is compared, and how each is started: a real server process on a port of its own."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

LITSERVE = "litserve==0.2.19"
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
START_LIMIT_S = 60.0


@dataclass(frozen=True)
class Contender:
    """A running server: where it takes requests, and its first process."""

    name: str
    url: str  # http://… for wrk, grpc://… for our own generator
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """User and system time so far of all its processes."""
        family = [self.process, *self.process.children(recursive=True)]
        times = [member.cpu_times() for member in family]
        return sum(one.user + one.system for one in times)


@contextmanager
def fastapi() -> Iterator[list[Contender]]:
    """One process; what the web framework itself costs."""
    with _peer("FastAPI", sys.executable, "fastapi_peer.py") as peer:
        yield [peer]


@contextmanager
def litserve(environment: Path) -> Iterator[list[Contender]]:
    """An inference server that keeps the model in another process, as we do."""
    with _peer("LitServe", _python_with_litserve(environment), "litserve_peer.py") as peer:
        yield [peer]


@contextmanager
def ours() -> Iterator[list[Contender]]:
    """The real server, on both doors."""
    flags = ("--http-port", "0", "--grpc-port", "0", "--threads", "1")
    command = (sys.executable, "-m", "benchmarks.overhead.null_server", "serve", *flags)
    with _started(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        family = psutil.Process(process.pid)
        doors = {"http": ("ours, REST", "/v1/text-classification"), "grpc": ("ours, gRPC", "")}
        yield [
            Contender(name, found[0] + path, family)
            for scheme, (name, path) in doors.items()
            if (found := re.search(rf"{scheme}://[\d.]+:\d+", first))
        ]


def _python_with_litserve(environment: Path) -> str:
    """The interpreter of an environment made for LitServe, on the web libraries that we pin."""
    python = environment / "bin" / "python"
    if not python.exists():
        print(f"installing {LITSERVE} into {environment}", file=sys.stderr)
        venv.create(environment, with_pip=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--constraint", str(ROOT / "constraints.txt"), LITSERVE], check=True)
    return str(python)


@contextmanager
def _peer(name: str, python: str, script: str) -> Iterator[Contender]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with _started((python, str(HERE / script), str(port))) as process:
        end = time.monotonic() + START_LIMIT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"{name} does not start") from None
                time.sleep(0.1)
        yield Contender(name, f"http://127.0.0.1:{port}/predict", psutil.Process(process.pid))


@contextmanager
def _started(
    command: Sequence[str], stdout: int | None = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, cwd=ROOT, stdout=stdout, text=True) as process:
        try:
            yield process
        finally:
            family = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
            for member in family:  # whoever outlived his parent
                if member.is_running():
                    member.kill()


def wrk() -> str:
    """The load generator, or how to get it."""
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit("wrk is not installed: apt-get install wrk")
    return found
