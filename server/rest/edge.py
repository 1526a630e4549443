"""The outermost layer of every HTTP exchange: its id, its clock, and what ends its connection."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.engine import Engine
from server.rest.errors import answer_fault


class Edge:
    """ASGI middleware: request id in and out, `Connection: close` where it must be, no 500 bare."""

    def __init__(self, app: ASGIApp, engine: Engine, closing: Callable[[], bool]) -> None:
        self.app = app
        self.engine = engine
        self.closing = closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self.closing)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except Exception as error:
            if exchange.started:
                raise  # too late for an answer: uvicorn closes the connection
            response = answer_fault(self.engine, Request(scope), error)
            await response(scope, exchange.receive, exchange.send)


class _Exchange:
    """One request and its response."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, closing: Callable[[], bool]
    ) -> None:
        headers = Headers(scope=scope)
        self.request_id = _sane(headers.get("x-request-id")) or uuid.uuid4().hex
        self.started = False
        self._receive, self._send, self._closing = receive, send, closing
        self._unread = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
        scope.setdefault("state", {}).update(
            request_id=self.request_id, arrived=time.perf_counter()
        )

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._unread = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self.request_id
            # What is left of an unread body would be taken for the next request.
            if self._unread or self._closing():
                headers["Connection"] = "close"
        await self._send(message)


def _sane(request_id: str | None) -> str | None:
    """The client's id where it is 1 to 128 printable ASCII characters: it goes into the log."""
    if request_id and len(request_id) <= 128 and request_id.isascii() and request_id.isprintable():
        return request_id
    return None
