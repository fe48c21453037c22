"""The server's life: listening, watching the folder, draining."""

import asyncio
import contextlib
import importlib
import logging
import signal
import time
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME
from grpc_reflection.v1alpha import reflection
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from tfrs_timirec.export.server.batching import Batcher
from tfrs_timirec.export.server.draining import Door
from tfrs_timirec.export.server.errors import unavailable
from tfrs_timirec.export.server.health import Health
from tfrs_timirec.export.server.listening import bracketed, listen
from tfrs_timirec.export.server.memory import keep_what_is_there
from tfrs_timirec.export.server.metrics import SERVING
from tfrs_timirec.export.server.parsing import Parsing
from tfrs_timirec.export.server.rest import Rest
from tfrs_timirec.export.server.service import ModelService, PredictionService
from tfrs_timirec.export.server.settings import ServerSettings
from tfrs_timirec.export.server.versions import Models

log = logging.getLogger(__name__)

PREDICTION = "tensorflow.serving.PredictionService"
MODEL = "tensorflow.serving.ModelService"
# Of requests that keep coming while the server stops.
LONGEST_HOLD = 1.0
# For the last answers to leave.
FAREWELL_SECONDS = 0.5


async def serve(
    folder: Path, settings: ServerSettings, credentials: grpc.ServerCredentials | None
) -> int:
    """Serves the models of a folder until SIGTERM or Ctrl-C.

    It may return while a model is still computing for a request that was given up.

    Args:
        folder: Of the models.
        settings: Where to listen, and the bounds.
        credentials: For TLS; None is plain text.

    Returns:
        The number of the signal.

    Raises:
        UserError: If the address cannot be listened on.
    """
    logging.getLogger("grpc._cython.cygrpc").addFilter(is_worth_telling)
    models, batcher, door = Models(folder), Batcher(settings), Door()
    prediction, status = PredictionService(models, batcher, settings), ModelService(models)
    server = grpc.aio.server(
        interceptors=[door, Parsing()],
        maximum_concurrent_rpcs=settings.concurrent_requests,
        options=[
            ("grpc.max_receive_message_length", settings.message_bytes),
            ("grpc.so_reuseport", 0),
        ],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(prediction, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(status, server)
    health = Health(models, (PREDICTION, MODEL))
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    for module in ("prediction_service_pb2", "model_service_pb2"):
        # Reflection needs their descriptors. They register them, and then fail at an attribute
        # that protobuf does not let them set any more.
        with contextlib.suppress(AttributeError):
            importlib.import_module(f"tensorflow_serving.apis.{module}")
    reflection.enable_server_reflection(
        (PREDICTION, MODEL, SERVICE_NAME, reflection.SERVICE_NAME), server
    )
    port = listen(server, settings, credentials)
    rest = None
    if settings.rest_port is not None:
        rest = Rest(prediction, status, door, settings)
        log.info("REST on %s", rest.listen())
    await health.tell()
    await server.start()
    keep_what_is_there()
    loop = asyncio.get_running_loop()
    stopped = loop.create_future()

    def stop(number: int) -> None:
        if not stopped.done():
            stopped.set_result(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    address = f"{bracketed(settings.host)}:{port}"
    watching = asyncio.create_task(_watch(models, settings, health, address))
    await asyncio.wait([watching, stopped], return_when=asyncio.FIRST_COMPLETED)
    await _drain(server, rest, health, door, batcher, settings.drain_seconds)
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    return stopped.result()


def is_worth_telling(record: logging.LogRecord) -> bool:
    """Filters gRPC's log: drops the traceback of a client that goes while it is being answered.

    Args:
        record: What gRPC logs.

    Returns:
        False for that traceback.
    """
    kind = record.exc_info and record.exc_info[0]
    return getattr(kind, "__name__", "") != "ExecuteBatchError"


async def _watch(models: Models, settings: ServerSettings, health: Health, address: str) -> None:
    """Looks at the folder again and again, and loads what is new."""
    warned = False
    while True:
        try:
            for name, found in await models.look():
                await health.tell()
                await models.load(name, found)
                await health.tell()
        except OSError as error:
            log.error("The folder of the models cannot be read: %s", error)
        if not (models.names or warned):
            warned = True
            log.warning("There is no model yet: put one into the folder, as MODEL/VERSION.")
        for name, version in models.loaded.items():
            SERVING.labels(name).set(version.number)
        if models.loaded and not health.ready:
            health.ready = True
            await health.tell()
            log.info("Serving %s on %s", ", ".join(models.loaded), address)
        await asyncio.sleep(settings.poll_seconds)


async def _drain(
    server: grpc.aio.Server,
    rest: Rest | None,
    health: Health,
    door: Door,
    batcher: Batcher,
    seconds: float,
) -> None:
    """Answers what has been received, and stops the server."""
    log.info("Stopping: open requests have %g s", seconds)
    end = time.monotonic() + seconds
    await health.servicer.enter_graceful_shutdown()
    await door.close(min(LONGEST_HOLD, seconds / 2))
    # Connections are told to go away; what was received is still answered.
    if rest:
        rest.stop()
    stopping = asyncio.create_task(server.stop(seconds))
    await asyncio.sleep(0)
    door.open()
    if not await door.emptied(end - time.monotonic()):
        batcher.abandon(unavailable("The server stopped before the answer was computed."))
    # What else is open are streams of health checking, which end when the server does.
    await server.stop(FAREWELL_SECONDS)
    if rest:
        await rest.stopped(FAREWELL_SECONDS)
    await stopping
