"""grpc.health.v1: "" and the service are as ready as /readyz; a model, where it would be served.

The library's servicer waits for its slowest watcher before it tells the others; here nobody waits
for another, and nothing is kept of a name that is asked for but the watcher's own.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse, HealthListResponse

from server.engine import Engine
from server.errors import Fault
from server.rpc.calls import handler
from server.rpc.errors import Context
from server.rpc.patience import Patience
from server.rpc.tasks import SERVICE
from server.rpc.wire import parse_small

log = logging.getLogger(__name__)

MAX_NAME_BYTES = 128
UNKNOWN: Final = HealthCheckResponse.SERVICE_UNKNOWN


class Health:
    """What serves now, for who asks and for who watches."""

    def __init__(self, engine: Engine, patience: Patience) -> None:
        self._engine = engine
        self._patience = patience
        self._statuses: dict[str, HealthCheckResponse.ServingStatus] = {}
        self._news = asyncio.Event()  # of these statuses; the next ones have another

    def handlers(self) -> grpc.GenericRpcHandler:
        """The service, for a server to register."""
        check = handler(self._engine, self._patience, self._check)
        listing = handler(self._engine, self._patience, self._list)
        watch = handler(self._engine, self._patience, self._watch)
        methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "Check": grpc.stream_unary_rpc_method_handler(check),
            "List": grpc.stream_unary_rpc_method_handler(listing),
            "Watch": grpc.stream_stream_rpc_method_handler(watch),
        }
        return grpc.method_handlers_generic_handler(HEALTH, methods)

    async def publish_changes(self) -> None:
        """Until cancelled."""
        while True:
            await self._engine.changed.wait()
            try:
                self.publish()
            except Exception:
                log.exception("health stays as it was: our bug")

    def publish(self) -> None:
        """Tells what differs from what was published before."""
        self._engine.changed.clear()
        ready = self._engine.ready()
        serving = {"": ready, SERVICE: ready, **self._engine.serving()}
        statuses = {
            name: HealthCheckResponse.SERVING if serves else HealthCheckResponse.NOT_SERVING
            for name, serves in serving.items()
        }
        if statuses != self._statuses:
            self._statuses = statuses
            self._news.set()
            self._news = asyncio.Event()

    async def _check(self, context: Context, _: str) -> bytes:
        service = await self._service(context)
        status = self._statuses.get(service)
        if status is None:
            raise Fault(
                "unknown_model",
                f"there is no service or model {service[:80]!r}: List names them",
            )
        return encoded(status)

    async def _list(self, _: Context, __: str) -> bytes:
        statuses = {
            name: HealthCheckResponse(status=status) for name, status in self._statuses.items()
        }
        answer: bytes = HealthListResponse(statuses=statuses).SerializeToString()
        return answer

    async def _watch(self, context: Context, _: str) -> None:
        service = await self._service(context)
        told = None
        while True:
            news = self._news
            status = self._statuses.get(service, UNKNOWN)
            if status == told:
                await news.wait()
                continue
            with self._patience.reading(context):
                await context.write(encoded(status))
            told = status

    async def _service(self, context: Context) -> str:
        """The name that is asked for."""
        name: str = parse_small(await self._patience.receive(context), HealthCheckRequest).service
        size = len(name.encode())
        if size > MAX_NAME_BYTES:
            raise Fault(
                "invalid_input",
                f"the service's name has {size} bytes, the limit is {MAX_NAME_BYTES}: shorten it",
            )
        return name


def encoded(status: HealthCheckResponse.ServingStatus) -> bytes:
    """The answer to Check, and a message of Watch."""
    answer: bytes = HealthCheckResponse(status=status).SerializeToString()
    return answer
