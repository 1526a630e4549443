"""The outermost layer of every HTTP exchange: its id, its clock, and what ends its connection."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.engine import Engine
from server.request_id import request_id_of
from server.rest.errors import answer_fault

Handler = Callable[[Request], Awaitable[Response]]


class Edge:
    """ASGI middleware: request id in and out, `Connection: close` where it must be, no 500 bare.

    Tasks go from here straight to their handlers: the layers of the framework, of which they use
    nothing, take as long as all of ours.  The app has the routes too, for the document and the 405.
    """

    def __init__(self, app: ASGIApp, engine: Engine, tasks: Mapping[str, Handler]) -> None:
        self.app = app
        self.engine = engine
        self.tasks = tasks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self.engine)
        task = self.tasks.get(scope["path"]) if scope["method"] == "POST" else None
        try:
            if task is None:
                await self.app(scope, exchange.receive, exchange.send)
            else:
                response = await task(Request(scope, exchange.receive))
                await response(scope, exchange.receive, exchange.send)
        except Exception as error:
            if exchange.started:
                raise  # too late for an answer: uvicorn closes the connection
            response = answer_fault(self.engine, Request(scope), error)
            await response(scope, exchange.receive, exchange.send)


class _Exchange:
    """One request and its response."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, engine: Engine) -> None:
        headers = Headers(scope=scope)
        self.request_id = request_id_of(headers.get("x-request-id"))
        self.started = False
        self._receive, self._send, self._engine = receive, send, engine
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
            if self._unread or self._engine.leaving:
                headers["Connection"] = "close"
        await self._send(message)
