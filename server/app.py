"""The composition root: Settings → Engine → REST and gRPC doors → sockets → signals.

running ──SIGTERM──► draining: not ready, new work refused, accepted work answered ──► exit 0
                         └── second signal, or the grace is over: now
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

import click
import uvicorn
import uvloop

from server.config import Settings, refuse_unsafe
from server.connection import connection_class
from server.engine import Engine
from server.memory import give_large_blocks_back
from server.options import ConfigError
from server.ports import bind, cannot_listen
from server.rest.app import RestApp, create_app
from server.rest.doors import DOORS
from server.rest.examples import curl
from server.rpc.app import RpcServer

log = logging.getLogger(__name__)

_QUIET_S = 0.1
_QUIET_TRIES = 10
# Frames and fields go back when they are freed; else some 70 MB stay after a stream of 720×960.
LARGE, KEPT = 256 * 1024, 128 * 1024  # bytes; what is kept is glibc's own
_FLUSH_S = 1.0  # for calls that do not end by themselves: those that watch our health
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (compared, not bound)
_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def run(settings: Settings, *, host_from: str) -> NoReturn:
    """Serves until told to stop, then ends the process; ConfigError where that would be unsafe.

    `host_from` is where the setting `host` came from.
    """
    try:
        refuse_unsafe(settings, host_from)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    configure_logging(settings.log_level)
    give_large_blocks_back(LARGE, KEPT)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(serve(settings))
        log.info("stopped")
        # Here and now: threads may still work for callers who have had their answers, or have gone.
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)


def open_engine(settings: Settings) -> Engine:
    """The engine of these settings, or click's one-sentence error."""
    try:
        return Engine(settings)
    except ValueError as error:
        raise ConfigError(str(error)) from None


async def serve(settings: Settings) -> int:
    """One life of the server, from the first bound socket to the last answer."""
    engine = open_engine(settings)
    bind(settings.host, settings.grpc_port, "--grpc-port").close()  # gRPC would not say why
    listener = bind(settings.host, settings.http_port, "--http-port")
    rpc = open_rpc(engine)
    app = create_app(engine)
    server = _Server(uvicorn_config(settings, app))
    stop = _Stop()
    await engine.start()
    try:
        with stop.on_signals():
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            await server.listening(serving)
            await rpc.start()
            gc.freeze()  # what is there now stays: 25 ms that no later collection takes
            ends = (stop.asked, serving, engine.refusal)
            # Requests may come already; the welcome is for a server that is known to work.
            await asyncio.wait((*ends, engine.tried), return_when=asyncio.FIRST_COMPLETED)
            if not any(end.done() for end in ends):
                click.echo(welcome(settings, listener.getsockname()[1], rpc.port))
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if engine.refusal.done():
                raise ConfigError(engine.refusal.result())
            if serving.done():
                serving.result()
            return await _drain(engine, server, rpc, serving, stop)
    finally:
        await engine.close()
        await rpc.stop(0)


async def _drain(
    engine: Engine, server: _Server, rpc: RpcServer, serving: asyncio.Task[None], stop: _Stop
) -> int:
    """Answers what was accepted, refuses the rest, closes the sockets; the exit code."""
    settings = engine.settings
    engine.leave()
    if settings.drain_delay_s:
        log.info(
            "not ready; serving for %g s more, then new requests are refused",
            settings.drain_delay_s,
        )
        await asyncio.wait((stop.now,), timeout=settings.drain_delay_s)
    if not stop.now.done():
        log.info("stopping: new requests are refused, accepted ones are answered first")
    over = asyncio.get_running_loop().time() + settings.drain_grace_s
    draining = asyncio.create_task(engine.drain())
    await asyncio.wait((draining, stop.now), return_when=asyncio.FIRST_COMPLETED)
    answered = draining.done() and draining.result()
    if answered:
        await _quiet(lambda: server.server_state.total_requests + rpc.calls)
    else:
        log.warning("stopping before every request was answered")
        draining.cancel()
        await engine.close()  # whoever still waits is told so
    server.close_within(max(1.0, over - asyncio.get_running_loop().time()))
    closing = asyncio.gather(serving, rpc.stop(_FLUSH_S))
    await asyncio.wait((closing, stop.now), return_when=asyncio.FIRST_COMPLETED)
    await asyncio.wait((closing,), timeout=_FLUSH_S)
    return 0 if answered else 1


async def _quiet(requests: Callable[[], int]) -> None:
    """Returns when no request has come for a moment: clients about to send read 503, no reset."""
    for _ in range(_QUIET_TRIES):
        seen = requests()
        await asyncio.sleep(_QUIET_S)
        if seen == requests():
            return


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: when to stop is decided here."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def listening(self, serving: asyncio.Task[None]) -> None:
        """Returns once connections are accepted; raises what kept them from it."""
        while not self.started:
            await asyncio.wait((serving,), timeout=0.01)
            if serving.done():
                serving.result()
                raise RuntimeError("the server stopped before it started")

    def close_within(self, seconds: float) -> None:
        """Closes the sockets: idle connections at once, the others after their response."""
        self.config.timeout_graceful_shutdown = math.ceil(seconds)
        self.should_exit = True


class _Stop:
    """SIGTERM or SIGINT: the first one asks to stop, the second one insists."""

    def __init__(self) -> None:
        self.asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.now: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        handled = (signal.SIGTERM, signal.SIGINT)
        for number in handled:
            loop.add_signal_handler(number, self._signalled)
        try:
            yield
        finally:
            for number in handled:
                loop.remove_signal_handler(number)

    def _signalled(self) -> None:
        if not self.asked.done():
            self.asked.set_result(None)
        elif not self.now.done():
            log.warning("stopping now")
            self.now.set_result(None)


def uvicorn_config(settings: Settings, app: RestApp) -> uvicorn.Config:
    """uvicorn as we use it: no log of its own, no lifespan, no websockets, our connections."""
    return uvicorn.Config(
        app,
        http=connection_class(settings.header_timeout_s, settings.body_timeout_s),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )


def open_rpc(engine: Engine) -> RpcServer:
    """The gRPC server, bound: `bind` tells why a port cannot be had, and comes first."""
    host, port = engine.settings.host, engine.settings.grpc_port
    try:
        return RpcServer(engine, host, port)
    except OSError as error:
        raise cannot_listen(host, port, str(error), "--grpc-port") from None


def welcome(settings: Settings, http_port: int, grpc_port: int) -> str:
    """What a newcomer needs: the URLs, and one command per task to paste."""
    example = ANYWHERE.get(settings.host, settings.host)
    host = f"[{example}]" if ":" in example else example
    url, target = f"http://{host}:{http_port}", f"grpc://{host}:{grpc_port}"
    everywhere = f"{settings.host} (every address of this machine), for example "
    prefix = everywhere if settings.host in ANYWHERE else ""
    lines = [f"perceiver-server listens on {prefix}{url} and {target} ({url}/docs explains)", ""]
    for door in DOORS.values():
        lines += [f"# {door.summary}", curl(url, door.task), ""]
    return "\n".join(lines)


def configure_logging(level: str) -> None:
    """One line per event on stderr; uvicorn only speaks when something is wrong."""
    logging.basicConfig(level=level.upper(), stream=sys.stderr, format=_LOG_FORMAT)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it logs bytes of bad requests
