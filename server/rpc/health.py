"""grpc.health.v1: "" and the service are as ready as /readyz; a model, where it would be served."""

from __future__ import annotations

from typing import Any

import grpc
from grpc_health.v1.health import aio
from grpc_health.v1.health_pb2 import (
    HealthCheckRequest,
    HealthCheckResponse,
    HealthListRequest,
    HealthListResponse,
)

from server.engine import Engine
from server.rpc.tasks import SERVICE


class Health(aio.HealthServicer):  # type: ignore[misc]  # the library has no types
    """The library's servicer, told what has changed as soon as the engine says so; and List."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine
        self._published: dict[str, bool] = {}

    async def Check(  # noqa: N802 (gRPC's name)
        self, request: HealthCheckRequest, context: Any
    ) -> HealthCheckResponse:
        """The library's, with a sentence for who asks for a service that there is not."""
        if request.service not in self._published:
            await context.abort(
                grpc.StatusCode.NOT_FOUND,
                f"there is no service or model {request.service[:80]!r}: List names them",
            )
        return HealthCheckResponse(status=status(self._published[request.service]))

    async def List(  # noqa: N802 (gRPC's name)
        self, request: HealthListRequest, context: Any
    ) -> HealthListResponse:
        """Every service and model, as Check would answer now."""
        return HealthListResponse(
            statuses={
                name: HealthCheckResponse(status=status(serving))
                for name, serving in self._published.items()
            }
        )

    async def publish_changes(self) -> None:
        """Until cancelled."""
        while True:
            await self._engine.changed.wait()
            await self.publish()

    async def publish(self) -> None:
        """Sets what differs from what was published before."""
        self._engine.changed.clear()
        ready = self._engine.ready()
        now = {"": ready, SERVICE: ready, **self._engine.serving()}
        for name, serving in now.items():
            if serving != self._published.get(name):
                self._published[name] = serving
                await self.set(name, status(serving))


def status(serving: bool) -> HealthCheckResponse.ServingStatus:
    return HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING
