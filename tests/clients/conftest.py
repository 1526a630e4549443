"""The shared server on tiny random models, and the four ways to ask it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner, Result
from perceiver_client import cli

from tests.clients.footage import noise, png, slopes, video
from tests.clients.ways import GRPC_WAYS, WAYS, Way
from tests.live_server import LiveServer
from tests.server.conftest import (  # noqa: F401  # its fixtures
    defaults,
    fault_plan,
    live,
    model_repository,
)

Invoke = Callable[..., Result]


@pytest.fixture
def urls(live: LiveServer) -> dict[str, str]:  # noqa: F811  # the fixture
    return {"http": live.url, "grpc": f"grpc://{live.grpc_target}"}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, urls: dict[str, str]) -> Way:
    """REST and gRPC, blocking and async."""
    return Way(request.param, urls)


@pytest.fixture(params=GRPC_WAYS)
def stream_way(request: pytest.FixtureRequest, urls: dict[str, str]) -> Way:
    """gRPC, blocking and async."""
    return Way(request.param, urls)


@pytest.fixture
def invoke(urls: dict[str, str]) -> Invoke:
    """`perceiver` in this process, with the servers from the environment."""
    environment = {"PERCEIVER_SERVER": urls["http"], "PERCEIVER_GRPC_SERVER": urls["grpc"]}

    def run(*arguments: object, **options: Any) -> Result:
        return CliRunner(env=environment).invoke(cli.main, [*map(str, arguments)], **options)

    return run


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video file of slopes()."""
    return video(tmp_path_factory.mktemp("film") / "film.mp4", slopes())


@pytest.fixture
def images(tmp_path: Path) -> tuple[Path, Path]:
    """Two image files of one size."""
    paths = tmp_path / "1.png", tmp_path / "2.png"
    for seed, path in enumerate(paths):
        path.write_bytes(png(noise(seed)))
    return paths


@contextmanager
def holding(server: LiveServer) -> Iterator[None]:
    """The server's device stands still: what it accepts is not answered."""
    children = psutil.Process(server.process.pid).children()
    (worker,) = (child for child in children if "server.worker" in child.cmdline())
    worker.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        worker.send_signal(signal.SIGCONT)
        # Given up or not, what was on the device runs to its end: this one comes after it.
        assert server.post("text-classification", json={"inputs": "a"}).status_code == 200


@pytest.fixture
def held(live: LiveServer) -> Iterator[LiveServer]:  # noqa: F811  # the fixture
    """The server while its device stands still."""
    with holding(live):
        yield live


def cancelled(server: LiveServer) -> float:
    """Pairs of flow that were given up over gRPC."""
    return server.metric("requests_total", outcome="cancelled", protocol="grpc", model="flow")
