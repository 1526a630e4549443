"""The gRPC server: what is registered, within which limits, from start to stop."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH

from server.config import Settings
from server.engine import Engine
from server.errors import Fault
from server.rpc.calls import Handler, handler, list_models, task
from server.rpc.errors import Context
from server.rpc.health import Health
from server.rpc.patience import Patience
from server.rpc.reflection import reflection
from server.rpc.streams import STREAMS, stream
from server.rpc.tasks import RPCS, SERVICE

MAX_METADATA_BYTES = 16 * 1024
MAX_UNREAD_CALLS = 10_000  # not yet seen by Python; gRPC would end some beyond 1,000, CANCELLED
IDLE_S = 75.0  # as on the REST door


class RpcServer:
    """perceiver.v1.Perceiver, health and reflection over an engine that somebody else starts,
    drains and closes.  Needs a running loop."""

    def __init__(self, engine: Engine, host: str, port: int) -> None:
        """Binds; OSError where the port cannot be had.  `port` 0 picks one."""
        self.calls = 0
        self._patience = Patience(engine)
        self._health = Health(engine, self._patience)
        self._publisher: asyncio.Task[None] | None = None
        self._server = grpc.aio.server(options=options(engine.settings))
        serves = {rpc.name: task(engine, self._patience, rpc) for rpc in RPCS}
        serves["ListModels"] = list_models(engine)
        methods = {
            name: self._method(handler(engine, self._patience, serve))
            for name, serve in serves.items()
        }
        for row in STREAMS:
            handle = handler(engine, self._patience, stream(engine, self._patience, row))
            methods[row.name] = grpc.stream_stream_rpc_method_handler(self._counted(handle))
        self._server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(SERVICE, methods),
                self._health.handlers(),
                reflection(engine, self._patience, (SERVICE, HEALTH)),
                _Unknown(engine, self._patience),
            )
        )
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            self.port = self._patience.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError("gRPC cannot have it") from error

    def _method(self, handle: Handler) -> grpc.RpcMethodHandler[bytes, bytes]:
        """A unary call whose one message the handler reads itself, as bytes: what comes in too
        slowly or cannot be parsed is ours to answer.  To clients there is no difference."""

        return grpc.stream_unary_rpc_method_handler(self._counted(handle))

    def _counted(self, handle: Handler) -> Handler:
        async def counted(_: object, context: Context) -> Any:
            self.calls += 1
            return await handle(_, context)

        return counted

    async def start(self) -> None:
        """Accepts calls; health is true from the first moment."""
        self._health.publish()
        self._publisher = asyncio.create_task(self._health.publish_changes())
        await self._server.start()

    async def stop(self, grace_s: float) -> None:
        """Accepts no more calls; those under way have `grace_s` seconds to end."""
        self._patience.close()
        await self._server.stop(grace_s)
        if self._publisher is not None:
            self._publisher.cancel()


class _Unknown(grpc.GenericRpcHandler):
    """Whatever nobody else serves."""

    def __init__(self, engine: Engine, patience: Patience) -> None:
        self._engine, self._patience = engine, patience

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes]:
        name = handler_call_details.method[:80]

        async def serve(_: Context, __: str) -> bytes:
            raise Fault("wrong_method", f"there is no RPC {name!r}: reflection lists what there is")

        return grpc.stream_unary_rpc_method_handler(handler(self._engine, self._patience, serve))


def options(settings: Settings, idle_s: float = IDLE_S) -> tuple[tuple[str, int], ...]:
    """The limits of a connection and a message.  Pings are limited by gRPC's own defaults.

    A connection without calls ends after `idle_s` seconds; with calls, so long after a client has
    ceased to answer pings.  However long a call may go on, it is not cut.
    """
    message = int(settings.max_message_bytes)
    idle_ms = int(idle_s * 1000)
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
        ("grpc.max_connection_idle_ms", idle_ms),
        ("grpc.keepalive_time_ms", idle_ms),
        ("grpc.http2.ping_timeout_ms", idle_ms),
        ("grpc.http2.max_pings_without_data", 0),  # after two it would cease to ask
        ("grpc.server_handshake_timeout_ms", int(settings.header_timeout_s * 1000)),
    )
