"""grpc.health.v1: "" and the service are as ready as /readyz; a model, where it would be served."""

from __future__ import annotations

from grpc_health.v1.health import aio
from grpc_health.v1.health_pb2 import HealthCheckResponse

from server.engine import Engine
from server.rpc.tasks import SERVICE


class Health:
    """Tells the library's servicer what has changed, as soon as the engine says so."""

    def __init__(self, engine: Engine) -> None:
        self.servicer = aio.HealthServicer()
        self._engine = engine
        self._published: dict[str, bool] = {}

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
                await self.servicer.set(
                    name,
                    HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING,
                )
