"""What becomes of a request: its status, its line in the log, and the metrics."""

import asyncio
import contextlib
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
import tensorflow as tf

from tfrs_timirec.export.server.errors import RequestError
from tfrs_timirec.export.server.metrics import LATENCY, REQUESTS

log = logging.getLogger(__name__)
CODES = {code.value[0]: code for code in grpc.StatusCode}
REQUEST_ID = "x-request-id"
LONGEST_ID = 128
# A client that gives up at its deadline is heard of a little before the server's own clock says so.
DEADLINE_SECONDS = 0.05


@dataclass
class Asked:
    """What a request asks for, as far as it is known.

    Only names that are served become labels of metrics: clients must not make up new ones.

    Args:
        model: Its name.
        signature: Its name.
    """

    model: str = ""
    signature: str = ""


@contextlib.asynccontextmanager
async def observed(context: grpc.aio.ServicerContext) -> AsyncIterator[Asked]:
    """Turns errors into statuses, and tells log and metrics what became of a request.

    The request's id is that of the client's metadata `x-request-id`, or a new one; the answer has
    it in its trailing metadata.

    Args:
        context: Of the request.

    Yields:
        Where to fill in what the request asks for.
    """
    began, asked, status = time.perf_counter(), Asked(), "OK"
    metadata = {key: value for key, value in context.invocation_metadata() or ()}
    request_id = metadata.get(REQUEST_ID, uuid.uuid4().hex)[:LONGEST_ID]
    context.set_trailing_metadata(((REQUEST_ID, request_id),))
    try:
        yield asked
        if _late(context, 0):
            status = "DEADLINE_EXCEEDED"
    except RequestError as error:
        status = error.code.name
        await context.abort(error.code, str(error))
    except tf.errors.OpError as error:
        code = CODES.get(error.error_code, grpc.StatusCode.INTERNAL)
        status = code.name
        await context.abort(code, _sentence(error))
    except asyncio.CancelledError:
        status = "DEADLINE_EXCEEDED" if _late(context, DEADLINE_SECONDS) else "CANCELLED"
        raise
    except Exception:
        status = "INTERNAL"
        log.exception("%s failed", request_id)
        told = f"The server failed: its log says why, of the request {request_id}."
        await context.abort(grpc.StatusCode.INTERNAL, told)
    finally:
        seconds = time.perf_counter() - began
        REQUESTS.labels(asked.model, asked.signature, status).inc()
        LATENCY.labels(asked.model, asked.signature).observe(seconds)
        log.info(
            "%s %s/%s %s %.1f ms",
            request_id,
            asked.model or "?",
            asked.signature or "?",
            status,
            1e3 * seconds,
        )


def _late(context: grpc.aio.ServicerContext, tolerance: float) -> bool:
    left = context.time_remaining()
    return left is not None and left <= tolerance


def _sentence(error: tf.errors.OpError) -> str:
    """What an assertion in the graph says, without TensorFlow's traceback."""
    message = error.message
    if "assertion failed: " in message:
        message = message.split("assertion failed: ")[1].split("\n")[0]
        return " ".join(re.split(r"[\[\] ]+", message)).strip(" .") + "."
    line = re.sub(r"^\{\{.*?\}\}\s*", "", message.split("\n")[0])
    return line.rstrip(".") + "."
