"""A call of an RPC: parse, ask the engine, render."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from protos.perceiver.v1 import perceiver_pb2 as pb
from server.engine import Answer, Engine
from server.errors import Fault
from server.request_id import request_id_of
from server.rpc.errors import PROTOCOL, Context, abort
from server.rpc.tasks import Rpc
from server.rpc.wire import parse

Handler = Callable[[Context], Awaitable[bytes]]

FIELDS_BESIDE_INPUTS = 1000
ROUNDING = 0.01  # the wire carries a deadline in three digits, rounded up
FLIGHT_S = 0.02


def handler(engine: Engine, rpc: Rpc) -> Handler:
    """The handler of one task."""
    settings = engine.settings
    max_bytes = settings.max_message_bytes if rpc.media else settings.max_text_body_bytes
    max_fields = settings.max_inputs + FIELDS_BESIDE_INPUTS

    async def handle(context: Context) -> bytes:
        request_id = requested_id(context)
        try:
            engine.check_open()
            message = await receive(context, settings.body_timeout_s)
            request = parse(message, rpc.request, max_bytes=max_bytes, max_fields=max_fields)
            answer = await ask(engine, rpc, request, context, request_id)
            started = time.perf_counter()
            response = rpc.response(answer.outputs).SerializeToString()
            headers = answer.headers(time.perf_counter() - started)
            context.set_trailing_metadata((("x-request-id", request_id), *headers.items()))
            return response
        except Exception as error:  # noqa: BLE001 (all of them become statuses)
            await abort(engine, context, error, request_id)

    return handle


async def receive(context: Context, limit_s: float) -> bytes:
    """The call's message; Fault too_slow or malformed."""
    try:
        async with asyncio.timeout(limit_s):
            message = await context.read()
    except TimeoutError:
        raise Fault(
            "too_slow",
            f"the message did not arrive within {limit_s:g} s: send it faster, or a smaller one",
        ) from None
    if not isinstance(message, bytes):  # it is grpc.aio.EOF
        raise Fault("malformed", "the call carries no message: send one")
    return message


async def ask(engine: Engine, rpc: Rpc, request: Any, context: Context, request_id: str) -> Answer:
    """The engine's answer.

    The call is cancelled when its client gives it up and when its deadline passes.  The first
    takes the work away at once; the second leaves it to the work's own deadline, which is the same.
    """
    left_s: float | None = context.time_remaining()  # None: the call has no deadline
    work = engine.predict(
        rpc.task,
        rpc.items(request),
        model=request.model or None,
        timeout_ms=None if left_s is None else left_s * 1000,
        protocol=PROTOCOL,
        request_id=request_id,
    )
    working = asyncio.create_task(work)
    try:
        await asyncio.wait((working,))
    except asyncio.CancelledError:
        if left_s is None or context.time_remaining() > FLIGHT_S + left_s * ROUNDING:
            working.cancel()
        await asyncio.gather(working, return_exceptions=True)  # the engine has counted it
        raise
    return working.result()


def list_models(engine: Engine) -> Handler:
    """The handler of ListModels."""

    async def handle(context: Context) -> bytes:
        context.set_trailing_metadata((("x-request-id", requested_id(context)),))
        models = [pb.Model(**asdict(status)) for status in engine.models()]
        return pb.ListModelsResponse(models=models).SerializeToString()

    return handle


def requested_id(context: Context) -> str:
    """The id of x-request-id, or a new one."""
    metadata = context.invocation_metadata() or ()
    found = (value for key, value in metadata if key == "x-request-id")
    given = next(found, None)
    return request_id_of(given if isinstance(given, str) else None)
