"""grpc.reflection.v1alpha: the library's answers, behind our limits."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
from grpc_reflection.v1alpha.reflection import SERVICE_NAME as REFLECTION
from grpc_reflection.v1alpha.reflection import aio
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest

from server.engine import Engine
from server.rpc.calls import handler
from server.rpc.errors import Context
from server.rpc.patience import Patience
from server.rpc.wire import parse_small


def reflection(
    engine: Engine, patience: Patience, services: tuple[str, ...]
) -> grpc.GenericRpcHandler:
    """The service that describes these and itself."""
    library = aio.ReflectionServicer((*services, REFLECTION))

    async def serve(context: Context, _: str) -> None:
        async for answer in library.ServerReflectionInfo(questions(context), context):
            with patience.reading(context):
                await context.write(answer.SerializeToString())

    handle = handler(engine, patience, serve)
    methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(handle)
    }
    return grpc.method_handlers_generic_handler(REFLECTION, methods)


async def questions(context: Context) -> AsyncIterator[ServerReflectionRequest]:
    """What the client asks; Fault too_large or malformed."""
    while isinstance(message := await context.read(), bytes):
        yield parse_small(message, ServerReflectionRequest)
