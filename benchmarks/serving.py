"""Measures the embedded server against calling the SavedModel in a loop: latency and throughput.

python -m benchmarks.serving MODELS [--model exact]

MODELS is the folder that `python -m export RUN --out MODELS` wrote. Each request is one user with a
history of 1 to 20 items. The clients are concurrent connections of one process beside the server,
on the same machine.
"""

import asyncio
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from jsonargparse import auto_cli

from tfrs_timirec.errors import run_command

CLIENTS = (1, 8, 64)
SECONDS = 10.0
WARM_UP = 2.0
QUESTIONS = 500


def main(models: Path, model: str = "exact") -> None:
    """Measures and prints a Markdown table.

    Args:
        models: The folder of the models.
        model: The model's name.
    """
    run_command(lambda: measure(models, model))


def measure(models: Path, model: str) -> None:
    version = max((models / model).iterdir(), key=lambda path: int(path.name))
    print("| | p50, ms | p99, ms | requests/s |\n|---|---|---|---|")
    messages, direct = of_the_savedmodel(version, model)
    print(row("SavedModel in a loop", direct), flush=True)
    server = subprocess.Popen(
        [sys.executable, "-m", "export.server", str(models), "--port=0"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        found = (re.search(r"Serving .* on (\S+)$", line) for line in server.stderr)
        address = next(match[1] for match in found if match)
        for clients in CLIENTS:
            seconds = asyncio.run(of_the_server(address, messages, clients))
            print(row(f"server, {clients} client{'s' * (clients > 1)}", seconds), flush=True)
    finally:
        server.terminate()
        server.wait()


def of_the_savedmodel(version: Path, model: str) -> tuple[list[bytes], np.ndarray]:
    """The questions as messages, and the seconds that the model alone takes for each."""
    import tensorflow as tf
    from tensorflow_serving.apis.predict_pb2 import PredictRequest

    from export.server.versions import Version

    loaded = Version(model, int(version.name), version)
    rng = np.random.default_rng(0)
    catalogue = loaded.run("recommend", everything(loaded))["item_ids"][0]
    histories = [rng.choice(catalogue, (1, rng.integers(1, 21))) for _ in range(QUESTIONS)]
    messages = []
    for history in histories:
        request = PredictRequest()
        request.model_spec.name = model
        request.inputs["history"].CopyFrom(tf.make_tensor_proto(history))
        messages.append(request.SerializeToString())
    seconds, end = [], time.perf_counter() + WARM_UP + SECONDS
    while (begin := time.perf_counter()) < end:
        loaded.run("serving_default", {"history": histories[len(seconds) % QUESTIONS]})
        seconds.append((begin, time.perf_counter()))
    return messages, np.array(seconds)


def everything(loaded) -> dict[str, np.ndarray]:
    """Inputs that ask a user without a history for a thousand items."""
    import tensorflow as tf

    ids = tf.dtypes.as_dtype(loaded.signatures["recommend"].inputs["history"].dtype)
    none = np.empty((1, 0), ids.as_numpy_dtype)
    return {"history": none, "k": np.array([1_000], np.int32), "exclude": none}


async def of_the_server(address: str, messages: list[bytes], clients: int) -> np.ndarray:
    """When each request began and ended, in seconds: [requests, 2]."""
    import grpc

    end = time.perf_counter() + WARM_UP + SECONDS
    spans = []

    async def client(number: int) -> None:
        # A connection for each, as they would have were they on machines of their own.
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
            count = number
            while (begin := time.perf_counter()) < end:
                await predict(messages[count % QUESTIONS])
                spans.append((begin, time.perf_counter()))
                count += clients

    await asyncio.gather(*(client(number) for number in range(clients)))
    return np.array(spans)


def row(name: str, spans: np.ndarray) -> str:
    begin = spans[:, 0].min() + WARM_UP
    counted = spans[spans[:, 0] >= begin]
    median, slow = np.percentile(counted[:, 1] - counted[:, 0], [50, 99]) * 1e3
    rate = len(counted) / (counted[:, 1].max() - begin)
    return f"| {name} | {median:.2f} | {slow:.2f} | {rate:,.0f} |"


if __name__ == "__main__":
    auto_cli(main, as_positional=True)
