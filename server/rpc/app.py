"""The gRPC server: what is registered, within which limits, from start to stop."""

from __future__ import annotations

import asyncio

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_reflection.v1alpha.reflection import SERVICE_NAME as REFLECTION
from grpc_reflection.v1alpha.reflection import enable_server_reflection

from server.config import Settings
from server.engine import Engine
from server.rpc.calls import Handler, handler, list_models
from server.rpc.errors import Context
from server.rpc.health import Health
from server.rpc.tasks import RPCS, SERVICE

MAX_METADATA_BYTES = 16 * 1024
MAX_UNREAD_CALLS = 10_000  # not yet seen by Python; gRPC would end some beyond 1,000, CANCELLED


class RpcServer:
    """perceiver.v1.Perceiver, health and reflection over an engine that somebody else starts,
    drains and closes.  Needs a running loop."""

    def __init__(self, engine: Engine, host: str, port: int) -> None:
        """Binds; OSError where the port cannot be had.  `port` 0 picks one."""
        self.calls = 0
        self._health = Health(engine)
        self._publisher: asyncio.Task[None] | None = None
        self._server = grpc.aio.server(options=options(engine.settings))
        handlers = {rpc.name: handler(engine, rpc) for rpc in RPCS}
        handlers["ListModels"] = list_models(engine)
        methods = {name: self._method(handle) for name, handle in handlers.items()}
        generic = grpc.method_handlers_generic_handler(SERVICE, methods)
        self._server.add_generic_rpc_handlers((generic,))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        enable_server_reflection((SERVICE, HEALTH, REFLECTION), self._server)
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError("gRPC cannot have it") from error

    def _method(self, handle: Handler) -> grpc.RpcMethodHandler[bytes, bytes]:
        """A unary call whose one message the handler reads itself, as bytes: what comes in too
        slowly or cannot be parsed is ours to answer.  To clients there is no difference."""

        async def counted(_: object, context: Context) -> bytes:
            self.calls += 1
            return await handle(context)

        return grpc.stream_unary_rpc_method_handler(counted)

    async def start(self) -> None:
        """Accepts calls; health is true from the first moment."""
        await self._health.publish()
        self._publisher = asyncio.create_task(self._health.publish_changes())
        await self._server.start()

    async def stop(self, grace_s: float) -> None:
        """Accepts no more calls; those under way have `grace_s` seconds to end."""
        await self._server.stop(grace_s)
        if self._publisher is not None:
            self._publisher.cancel()


def options(settings: Settings) -> tuple[tuple[str, int], ...]:
    """The limits of a connection and a message.  Pings are limited by gRPC's own defaults."""
    message = int(settings.max_message_bytes)
    return (
        ("grpc.so_reuseport", 0),  # a port that is taken is an error
        ("grpc.max_receive_message_length", message),
        ("grpc.max_send_message_length", message),
        ("grpc.max_concurrent_streams", settings.max_streams),
        # It counts streams that have ended but are not yet freed: clients that keep to the limit
        # were refused.
        ("grpc.http.overload_protection", 0),
        ("grpc.server.max_pending_requests", MAX_UNREAD_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", MAX_UNREAD_CALLS),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.server_handshake_timeout_ms", int(settings.header_timeout_s * 1000)),
    )
