"""Reads a request body: never more than the limit, never longer than the deadline.

uvicorn has neither limit.  A body that announces too much is refused from its header, unread;
`100 Continue` is sent by uvicorn on the first read only, so a refused upload never starts.
"""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.types import Receive

from server.errors import Fault

_DISCONNECT = "http.disconnect"


async def read_body(request: Request, limit: int, timeout_s: float, deadline_ms: int) -> bytes:
    """The whole body; Fault too_large, too_slow, deadline, unsupported_media_type or malformed."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise Fault(
            "unsupported_media_type",
            "compressed request bodies are not read: send it without Content-Encoding",
        )
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and (len(announced) > 18 or int(announced) > limit):
        raise too_large(limit)
    try:
        async with asyncio.timeout(min(timeout_s, deadline_ms / 1000)):
            body = await _receive(request.receive, limit)
    except TimeoutError:
        if deadline_ms / 1000 < timeout_s:
            raise deadline_passed(deadline_ms) from None
        raise Fault(
            "too_slow",
            f"the body did not arrive within {timeout_s:g} s: send it faster, or a smaller one",
        ) from None
    if not body:
        raise Fault("malformed", "the body is empty: GET /v1/tasks shows an example of each task")
    return body


async def _receive(receive: Receive, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == _DISCONNECT:
            raise client_gone()
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


async def client_left(receive: Receive) -> None:
    """Returns when the client has closed the connection.  To be awaited after the whole body."""
    while (await receive())["type"] != _DISCONNECT:
        pass


def too_large(limit: int) -> Fault:
    return Fault("too_large", f"the body is over {limit} bytes, the limit: send a smaller one")


def deadline_passed(timeout_ms: int) -> Fault:
    return Fault("deadline", f"the deadline of {timeout_ms} ms passed while the body came in")


def client_gone() -> Fault:
    """The client closed the connection; nobody reads the answer, metrics count it."""
    return Fault("cancelled", "the client closed the connection")
