"""Whether the embedded server's memory grows: resident size before and after many requests.

python -m benchmarks.soak MODELS [--requests 100000] [--swaps 50]

MODELS is the folder that `python -m tfrs_timirec.export RUN --out MODELS` wrote; a copy of it is
served. The requests are of every signature, by gRPC and REST in turns, some for more than there is,
some broken off; the newest version is published again and again meanwhile. Linux alone tells the
resident size.
"""

import asyncio
import itertools
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import urllib3
from jsonargparse import auto_cli
from jsonargparse.typing import PositiveInt

from tfrs_timirec.errors import run_command

FIRST = 1_000
CLIENTS = 8
QUESTIONS = 500
PATIENCE, IMPATIENCE = 60.0, 0.003
# The server frees the parts of a version for some seconds after it was replaced: it has settled
# when its memory has not fallen for so long.
STILL = 4.0


def main(
    models: Path, model: str = "exact", requests: PositiveInt = 100_000, swaps: PositiveInt = 50
) -> None:
    """Asks, publishes and prints the resident size after the first requests and after each swap.

    Args:
        models: The folder of the models.
        model: The model's name.
        requests: How many requests.
        swaps: How many versions are published meanwhile.
    """
    run_command(lambda: print(soak(models, model, requests, swaps)))


def soak(
    models: Path, model: str, requests: int, swaps: int
) -> dict[str, list[int] | dict[str | int, int]]:
    """Runs a server under mixed requests and version swaps.

    Args:
        models: The folder of the models.
        model: The model's name.
        requests: How many requests, at least `FIRST`.
        swaps: How many versions are published meanwhile.

    Returns:
        `sizes`, the resident size in KiB after the first `FIRST` requests and after each version
        that was published, and `statuses`, how many requests ended in which: names by gRPC, numbers
        by REST.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, model)
        newest = max(int(path.name) for path in (models / model).iterdir())
        shutil.copytree(models / model / str(newest), folder / "1")
        questions = mixed(model, folder / "1")
        command = [sys.executable, "-m", "tfrs_timirec.export.server", scratch, "--port=0"]
        server = subprocess.Popen(
            [*command, "--rest_port=0", "--poll_seconds=0.2"], stderr=subprocess.PIPE, text=True
        )
        try:
            found = (re.search(r"(?:REST|Serving .*) on (\S+)$", line) for line in server.stderr)
            # REST is told first.
            url, address = itertools.islice((match[1] for match in found if match), 2)
            where = address, f"{url}/v1/models/{model}:predict"
            # The log is read on: a full pipe would stop the server.
            threading.Thread(target=server.stderr.read, daemon=True).start()
            statuses = Counter()
            asyncio.run(ask(*where, questions, FIRST, statuses))
            sizes = [settled(server.pid)]
            for number in range(2, swaps + 2):
                publish(folder, number)
                share = (requests - FIRST) // swaps
                asyncio.run(ask(*where, questions, share, statuses))
                asyncio.run(until_served(address, model, number))
                shutil.rmtree(folder / str(number - 1))
                sizes.append(settled(server.pid))
        finally:
            server.terminate()
            server.wait()
    return {"sizes": sizes, "statuses": dict(statuses)}


def mixed(model: str, version: Path) -> list[tuple[bytes, bytes]]:
    """Requests of every signature, of many sizes, one in eight of which is refused.

    Returns:
        Each as gRPC's message and as REST's.
    """
    import tensorflow as tf
    from tensorflow_serving.apis.predict_pb2 import PredictRequest

    from tfrs_timirec.export.saved import read_signatures

    rng = np.random.default_rng(0)
    signatures = read_signatures(version)
    ids = catalogue(version)
    questions = []
    for _ in range(QUESTIONS):
        rows, width = rng.integers(1, 5), rng.integers(1, 40)
        name = rng.choice(sorted(signatures))
        request = PredictRequest()
        request.model_spec.name = model
        request.model_spec.signature_name = name
        values = {
            "history": rng.choice(ids, (rows, width)),
            "times": np.tile(np.arange(width), (rows, 1)),
            "candidates": rng.choice(ids, (rows, rng.integers(1, 200))),
            "exclude": rng.choice(ids, (rows, 3)),
            "k": np.int32(rng.choice([0, 1, 10, 100], p=[0.125, 0.125, 0.65, 0.1])),
            "diversity": np.float32(rng.uniform()),
        }
        values = {key: values[key] for key in signatures[name].inputs if key in values}
        for key, value in values.items():
            request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
        plain = {key: value.tolist() for key, value in values.items()}
        body = json.dumps({"signature_name": name, "inputs": plain}, default=bytes.decode)
        questions.append((request.SerializeToString(), body.encode()))
    return questions


def catalogue(version: Path) -> np.ndarray:
    """Some ids of items: those of the histories that the version is warmed up with."""
    import tensorflow as tf
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    path = version / "assets.extra" / "tf_serving_warmup_requests"
    record = next(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    request = PredictionLog.FromString(record).predict_log.request
    return tf.make_ndarray(request.inputs["history"])[0]


async def ask(
    address: str, url: str, questions: list[tuple[bytes, bytes]], count: int, statuses: Counter
) -> None:
    """Sends so many requests from some clients at a time; one in fifty is given no time."""
    import grpc

    left = iter(range(count))

    async def client() -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
            with urllib3.PoolManager(retries=False) as connection:
                for number in left:
                    message, body = questions[number // 2 % len(questions)]
                    timeout = PATIENCE if number % 100 > 1 else IMPATIENCE
                    if number % 2:
                        found = await asyncio.to_thread(by_rest, connection, url, body, timeout)
                    else:
                        found = await by_grpc(predict, message, timeout)
                    statuses[found] += 1

    await asyncio.gather(*(client() for _ in range(CLIENTS)))


async def by_grpc(predict, message: bytes, timeout: float) -> str:
    """The status that a request ended in."""
    import grpc

    try:
        await predict(message, timeout=timeout)
        return "OK"
    except grpc.aio.AioRpcError as error:
        return error.code().name


def by_rest(connection: urllib3.PoolManager, url: str, body: bytes, timeout: float) -> int | str:
    """The status that a request ended in."""
    try:
        return connection.request("POST", url, body=body, timeout=timeout).status
    except urllib3.exceptions.TimeoutError:
        return "broken off"


def publish(folder: Path, number: int) -> None:
    """The version before, as the next one."""
    part = folder / f".{number}.part"
    shutil.copytree(folder / str(number - 1), part)
    part.rename(folder / str(number))


async def until_served(address: str, model: str, number: int) -> None:
    import grpc
    from tensorflow_serving.apis.get_model_status_pb2 import (
        GetModelStatusRequest,
        ModelVersionStatus,
    )
    from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub

    request = GetModelStatusRequest()
    request.model_spec.name = model
    async with grpc.aio.insecure_channel(address) as channel:
        stub = ModelServiceStub(channel)
        while True:
            answer = await stub.GetModelStatus(request, timeout=PATIENCE)
            states = {status.version: status.state for status in answer.model_version_status}
            if states.get(number) == ModelVersionStatus.AVAILABLE:
                return
            await asyncio.sleep(0.1)


def settled(process: int) -> int:
    """KiB of memory that a process holds once it gives none back any more."""
    least, since = resident(process), time.monotonic()
    while time.monotonic() - since < STILL:
        time.sleep(0.2)
        if (size := resident(process)) < 0.999 * least:
            least, since = size, time.monotonic()
    return resident(process)


def resident(process: int) -> int:
    """KiB of memory that a process holds."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])


if __name__ == "__main__":
    auto_cli(main, as_positional=True)
