"""A call of an RPC: parse, ask the engine, render."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from protos.perceiver.v1 import perceiver_pb2 as pb
from server.engine import Answer, Engine
from server.request_id import request_id_of
from server.rpc.errors import PROTOCOL, Context, gone, refuse
from server.rpc.parts import Parts, as_field, fitting, joined
from server.rpc.patience import Patience
from server.rpc.tasks import Rpc, model_of
from server.rpc.wire import parse

Serve = Callable[[Context, str], Awaitable[Any]]  # takes the request's id; bytes, or has written
Handler = Callable[[object, Context], Awaitable[Any]]

FIELDS_BESIDE_INPUTS = 1000


def handler(engine: Engine, patience: Patience, serve: Serve) -> Handler:
    """What gRPC calls: every error becomes a status, and no answer waits for ever to be read."""

    async def handle(_: object, context: Context) -> Any:
        request_id = requested_id(context)
        try:
            answer = await serve(context, request_id)
        except Exception as error:  # noqa: BLE001 (all of them become statuses)
            refusal = refuse(engine, error, request_id)
        else:
            patience.answered(context)
            return answer
        return await context.abort(*refusal)  # here, where the error with all it holds is gone

    return handle


def task(engine: Engine, patience: Patience, rpc: Rpc) -> Serve:
    """How a task is served."""
    settings = engine.settings
    max_bytes = settings.max_message_bytes if rpc.media else settings.max_text_body_bytes
    max_fields = settings.max_inputs * rpc.fields + FIELDS_BESIDE_INPUTS

    async def serve(context: Context, request_id: str) -> bytes:
        engine.check_open()
        message = await patience.receive(context)
        request = parse(message, rpc.request, max_bytes=max_bytes, max_fields=max_fields)
        del message
        answer = await ask(engine, rpc, request, context, request_id)
        started = time.perf_counter()
        response = await joined(answer.outputs)
        headers = answer.headers(time.perf_counter() - started)
        context.set_trailing_metadata((("x-request-id", request_id), *headers.items()))
        return response

    return serve


async def ask(engine: Engine, rpc: Rpc, request: Any, context: Context, request_id: str) -> Answer:
    """The engine's answer, its outputs the Parts of a response.

    The call is cancelled when its client gives it up and when its deadline passes.  The first
    takes the work away at once; the second leaves it to the work's own deadline, which is the same.
    """

    async def render(outputs: list[Any]) -> Parts:
        results = await rpc.render(request, outputs, engine.media)
        written = [part for one in results for part in as_field(rpc.response, "results", one)]
        return fitting(written, engine.settings.max_message_bytes)

    left_s: float | None = context.time_remaining()  # None: the call has no deadline
    work = engine.predict(
        rpc.task,
        rpc.items(request, engine.settings),
        model=model_of(request),
        timeout_ms=None if left_s is None else left_s * 1000,
        protocol=PROTOCOL,
        request_id=request_id,
        render=render,
    )
    working = asyncio.create_task(work)
    try:
        await asyncio.wait((working,))
    except asyncio.CancelledError:
        if gone(context, left_s).code == "cancelled":
            working.cancel()
        await asyncio.gather(working, return_exceptions=True)  # the engine has counted it
        raise
    return working.result()


def list_models(engine: Engine) -> Serve:
    """How ListModels is served."""

    async def serve(context: Context, request_id: str) -> bytes:
        context.set_trailing_metadata((("x-request-id", request_id),))
        models = [pb.Model(**asdict(status)) for status in engine.models()]
        return pb.ListModelsResponse(models=models).SerializeToString()

    return serve


def requested_id(context: Context) -> str:
    """The id of x-request-id, or a new one."""
    metadata = context.invocation_metadata() or ()
    found = (value for key, value in metadata if key == "x-request-id")
    given = next(found, None)
    return request_id_of(given if isinstance(given, str) else None)
