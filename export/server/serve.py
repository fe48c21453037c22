"""The server's life: listening, watching the folder, draining."""

import asyncio
import contextlib
import importlib
import logging
import signal
from pathlib import Path

import grpc
import prometheus_client
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from export.server.metrics import SERVING
from export.server.parsing import Parsing
from export.server.service import ModelService, PredictionService
from export.server.settings import ServerSettings
from export.server.versions import Models
from tfrs_timirec.errors import UserError

log = logging.getLogger(__name__)

PREDICTION = "tensorflow.serving.PredictionService"
MODEL = "tensorflow.serving.ModelService"


def serve(folder: Path, settings: ServerSettings) -> None:
    """Serves the models of a folder until SIGTERM or Ctrl-C.

    Args:
        folder: Of the models.
        settings: Where to listen, and the bounds.

    Raises:
        UserError: If the folder or a certificate is missing, or the port is taken.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    if not folder.is_dir():
        raise UserError(f"The folder {folder} does not exist: export a run with python -m export.")
    credentials = _credentials(settings)
    asyncio.run(_serve(folder, settings, credentials))


async def _serve(folder, settings, credentials) -> None:
    models = Models(folder)
    server = grpc.aio.server(
        interceptors=[Parsing()],
        maximum_concurrent_rpcs=settings.concurrent_requests,
        options=[
            ("grpc.max_receive_message_length", settings.message_bytes),
            ("grpc.so_reuseport", 0),
        ],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(models, settings), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(models), server)
    healthy = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    for module in ("prediction_service_pb2", "model_service_pb2"):
        # Reflection needs their descriptors. They register them, and then fail at an attribute
        # that protobuf does not let them set any more.
        with contextlib.suppress(AttributeError):
            importlib.import_module(f"tensorflow_serving.apis.{module}")
    reflection.enable_server_reflection(
        (PREDICTION, MODEL, health.SERVICE_NAME, reflection.SERVICE_NAME), server
    )
    port = _listen(server, settings, credentials)
    await _health(healthy, health_pb2.HealthCheckResponse.NOT_SERVING)
    await server.start()
    if settings.metrics_port:
        prometheus_client.start_http_server(settings.metrics_port, settings.metrics_host)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    watching = asyncio.create_task(_watch(models, settings, healthy, f"{settings.host}:{port}"))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([watching, stopping], return_when=asyncio.FIRST_COMPLETED)
    log.info("Stopping: open requests have %g s", settings.drain_seconds)
    await healthy.enter_graceful_shutdown()
    await server.stop(settings.drain_seconds)
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching


async def _watch(models: Models, settings: ServerSettings, healthy, address: str) -> None:
    """Polls the folder; healthy once a model serves."""
    serving = False
    while True:
        try:
            await models.poll()
        except OSError as error:
            log.error("The folder of the models cannot be read: %s", error)
        for name, version in models.loaded.items():
            SERVING.labels(name).set(version.number)
        if models.loaded and not serving:
            serving = True
            await _health(healthy, health_pb2.HealthCheckResponse.SERVING)
            log.info("Serving %s on %s", ", ".join(models.loaded), address)
        await asyncio.sleep(settings.poll_seconds)


async def _health(healthy, status) -> None:
    for service in ("", PREDICTION, MODEL):
        await healthy.set(service, status)


def _listen(server, settings: ServerSettings, credentials) -> int:
    address = f"{settings.host}:{settings.port}"
    try:
        if credentials:
            return server.add_secure_port(address, credentials)
        return server.add_insecure_port(address)
    except RuntimeError:
        raise UserError(f"{address} cannot be listened on: is the port taken?") from None


def _credentials(settings: ServerSettings) -> grpc.ServerCredentials | None:
    if (settings.certificate is None) != (settings.key is None):
        raise UserError("TLS needs both --certificate and --key.")
    if settings.client_certificates and not settings.certificate:
        raise UserError("--client_certificates needs --certificate and --key.")
    if not settings.certificate:
        return None
    authorities = settings.client_certificates and _read(settings.client_certificates)
    return grpc.ssl_server_credentials(
        [(_read(settings.key), _read(settings.certificate))],
        authorities,
        require_client_auth=authorities is not None,
    )


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
