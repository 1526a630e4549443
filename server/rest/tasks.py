"""POST /v1/TASK: read, ask the engine, render."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from server.engine import Engine
from server.errors import Fault
from server.rest.accept import best_type
from server.rest.answer import Parts, Unread, response, size_of
from server.rest.body import client_gone, client_left, deadline_passed, read_body
from server.rest.door import Call, Door, Form, Posted
from server.rest.edge import Handler
from server.rest.errors import PROTOCOL

T = TypeVar("T")


def endpoint(engine: Engine, door: Door, unread: Unread) -> Handler:
    """The handler of one task."""
    settings = engine.settings
    limit = settings.max_body_bytes if door.parts else settings.max_text_body_bytes

    async def handle(request: Request) -> Response:
        engine.check_open()
        answer_type = best_type(",".join(request.headers.getlist("accept")), [*door.forms])
        form = door.forms[answer_type]
        timeout_ms = requested_timeout(request, settings.timeout_ms, settings.max_timeout_ms)
        asked = requested_model(request)
        if door.large:
            unread.check()
        body = await read_body(request, limit, settings.body_timeout_s, timeout_ms)
        call = await door.read(Posted(request.headers, body, answer_type))

        async def render(outputs: Sequence[Any]) -> Parts:
            parts = await form.write(engine.media, outputs, call.single)
            unread.check(size_of(parts))
            return parts

        work = engine.predict(
            door.task,
            call.items,
            model=one_model(asked, call),
            timeout_ms=remaining(request, timeout_ms),
            protocol=PROTOCOL,
            request_id=request.scope["state"]["request_id"],
            render=render,
        )
        answer = await unless_gone(request, work)
        headers = answer.headers() | _headers_of(door, form)
        return response(answer.outputs, answer_type, headers, unread)

    return handle


def _headers_of(door: Door, form: Form) -> dict[str, str]:
    """What tells clients and caches about the type of the answer."""
    headers = {}
    if len(door.forms) > 1:
        headers["vary"] = "Accept"
    if form.filename is not None:
        headers["content-disposition"] = f'inline; filename="{form.filename}"'
    return headers


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled as soon as the client closes the connection."""
    scope = asyncio.timeout(None)  # one that ends when the client leaves

    async def watch() -> None:
        await client_left(request.receive)
        scope.reschedule(0)  # long ago: now

    try:
        async with scope:
            watching = asyncio.create_task(watch())
            try:
                return await work
            finally:
                watching.cancel()
    except TimeoutError:
        if not scope.expired():
            raise
        gone = client_gone()
        gone.counted = True  # by the engine, as cancelled
        raise gone from None


def requested_model(request: Request) -> str | None:
    """`?model=`; any other query parameter is a mistake worth telling."""
    for key in request.query_params:
        if key != "model":
            raise Fault(
                "invalid_input",
                f"unknown query parameter {key[:40]!r}: only `model` goes there, the others go "
                'into "parameters" of a JSON body',
            )
    names = set(request.query_params.getlist("model"))
    if len(names) > 1:
        raise Fault("invalid_input", "the query names several models: name one")
    return names.pop() if names else None


def one_model(in_query: str | None, call: Call) -> str | None:
    """The model that the query or the body names; they must not disagree."""
    if in_query is not None and call.model is not None and in_query != call.model:
        raise Fault("invalid_input", "the query and the body name different models: name one")
    return call.model if in_query is None else in_query


def requested_timeout(request: Request, default_ms: int, maximum_ms: int) -> int:
    """X-Timeout-Ms, checked."""
    text = request.headers.get("x-timeout-ms")
    if text is None:
        return default_ms
    number = int(text) if len(text) <= 10 and text.isascii() and text.isdecimal() else 0
    if not 1 <= number <= maximum_ms:
        raise Fault(
            "invalid_input",
            f"X-Timeout-Ms is {text[:20]!r}, but must be a whole number from 1 to {maximum_ms}",
        )
    return number


def remaining(request: Request, timeout_ms: int) -> int:
    """What the arrival of the body left of the deadline."""
    spent = (time.perf_counter() - request.scope["state"]["arrived"]) * 1000
    if spent >= timeout_ms:
        raise deadline_passed(timeout_ms)
    return max(1, int(timeout_ms - spent))
