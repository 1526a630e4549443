"""The shared server on tiny random models, and the four ways to ask it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from tests.clients.ways import GRPC_WAYS, WAYS, Way
from tests.live_server import LiveServer
from tests.server.conftest import (  # noqa: F401  # its fixtures
    defaults,
    fault_plan,
    live,
    model_repository,
)


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
