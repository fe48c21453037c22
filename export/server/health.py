"""Which models are ready, by gRPC's protocol of health checking."""

from collections.abc import Iterable

from grpc_health.v1 import health, health_pb2

from tfrs_timirec.export.server.versions import Models

STATUS = health_pb2.HealthCheckResponse


class Health:
    """Tells for each model, under its name, whether it answers; under "" whether the server does.

    The server does once every model of the folder has been loaded or found broken, and one answers.

    Args:
        models: What serves.
        services: Further names for the server as a whole.

    Attributes:
        servicer: That of gRPC's health checking.
        ready: Whether the server as a whole answers.
    """

    def __init__(self, models: Models, services: Iterable[str]):
        self.servicer = health.aio.HealthServicer()
        self.ready = False
        self._models = models
        self._services = ("", *services)

    async def tell(self) -> None:
        """Brings the statuses up to date."""
        for name in self._models.names:
            await self._set(name, name in self._models.loaded)
        for service in self._services:
            await self._set(service, self.ready)

    async def _set(self, service: str, ready: bool) -> None:
        await self.servicer.set(service, STATUS.SERVING if ready else STATUS.NOT_SERVING)
