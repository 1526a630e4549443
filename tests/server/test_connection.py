"""The patience of a connection with who reads its answers, without an engine behind it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn
from starlette.responses import Response

from server.app import uvicorn_config
from server.config import Settings
from server.rest.answer import PIECE, Unread, response

PATIENCE_S = 0.5
SMALL, LARGE = PIECE, 8 * PIECE
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """/ and /large answer with so many bytes."""
    size = LARGE if scope["path"] == "/large" else SMALL
    answer: Response = response([bytes(size)], "a/b", {}, Unread())
    await answer(scope, receive, send)


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, Any]]:
    """A client whose answers fill every buffer on their way, and the server's side of it."""
    settings: Any = Settings(body_timeout_s=PATIENCE_S)
    app_: Any = app
    server = uvicorn.Server(uvicorn_config(settings, app_))
    with socket.socket() as listener, socket.socket() as client:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:  # noqa: ASYNC110 (uvicorn has no event for it)
            await asyncio.sleep(0.01)
        await asyncio.get_running_loop().sock_connect(client, listener.getsockname())
        reader, writer = await asyncio.open_connection(sock=client, limit=1024)
        while not server.server_state.connections:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        try:
            yield reader, writer, next(iter(server.server_state.connections))
        finally:
            writer.close()
            server.should_exit = server.force_exit = True
            await serving


async def stuck(connection: Any) -> None:
    """Returns when an answer waits for its reader."""
    while not connection.flow.write_paused:
        assert not connection.transport.is_closing()
        await asyncio.sleep(0.01)


async def answer_of(reader: asyncio.StreamReader, size: int) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"content-length: %d\r\n" % size in head
    await reader.readexactly(size)


@pytest.mark.parametrize(("path", "size"), [("/", SMALL), ("/large", LARGE)])
async def test_who_has_read_late_may_ask_again(path: str, size: int) -> None:
    request = REQUEST.replace(b"/ ", path.encode() + b" ", 1)
    async with connected() as (reader, writer, connection):
        for late in (1.5 * PATIENCE_S, 0):
            writer.write(request)
            await stuck(connection)
            await answer_of(reader, size)
            await asyncio.sleep(late)  # what waited for the reader would have ended


@pytest.mark.parametrize("path", ["/", "/large"])
async def test_who_does_not_read_is_given_up(path: str) -> None:
    async with connected() as (reader, writer, connection):
        writer.write(REQUEST.replace(b"/ ", path.encode() + b" ", 1))
        await stuck(connection)
        while not connection.transport.is_closing():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await answer_of(reader, LARGE if path == "/large" else SMALL)


async def test_who_reads_slowly_all_the_time_is_given_up_too() -> None:
    async with connected() as (reader, writer, _):
        writer.write(REQUEST.replace(b"/ ", b"/large ", 1))
        await reader.readuntil(b"\r\n\r\n")
        read = 0
        with suppress(ConnectionResetError, asyncio.IncompleteReadError):
            while read < LARGE:
                read += len(await reader.readexactly(PIECE // 8))
                await asyncio.sleep(PATIENCE_S / 16)  # all of it would take four times as long
        assert read < LARGE
