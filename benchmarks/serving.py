"""Measures the embedded server against calling the SavedModel in a loop: latency and throughput.

python -m benchmarks.serving MODELS [--model exact]

MODELS is the folder that `python -m tfrs_timirec.export RUN --out MODELS` wrote. Each request is
one user with a history of 1 to 20 items. The clients are concurrent connections of one process
beside the server, on the same machine: by gRPC, and in turns with that the same requests by REST,
each a thread. The second table is of one client whose requests name random items to choose among.
"""

import asyncio
import itertools
import json
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import urllib3
from jsonargparse import auto_cli

from tfrs_timirec.errors import run_command

CLIENTS = (1, 8, 64)
AMONG = (10, 1_000, 10_000)
SECONDS = 10.0
# gRPC and REST in turns, so that what else the machine does is the same for both.
ROUNDS = 5
WARM_UP = 1.0
QUESTIONS = 500


def main(models: Path, model: str = "exact") -> None:
    """Measures and prints two Markdown tables.

    Args:
        models: The folder of the models.
        model: The model's name.
    """
    run_command(lambda: measure(models, model))


def measure(models: Path, model: str) -> None:
    from tfrs_timirec.export.server.versions import Version

    folder = max((models / model).iterdir(), key=lambda path: int(path.name))
    version = Version(model, int(folder.name), folder)
    rng = np.random.default_rng(0)
    items = catalogue(version)
    questions = [{"history": rng.choice(items, (1, rng.integers(1, 21)))} for _ in range(QUESTIONS)]
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "tfrs_timirec.export.server", str(models)),
            *("--port=0", "--rest_port=0"),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        found = (re.search(r"(?:REST|Serving .*) on (\S+)$", line) for line in server.stderr)
        # REST is told first.
        url, address = itertools.islice((match[1] for match in found if match), 2)
        # The log is read on: a full pipe would stop the server.
        threading.Thread(target=server.stderr.read, daemon=True).start()
        print("| | p50, ms | p99, ms | requests/s | REST to gRPC |\n|---|---|---|---|---|")
        direct = of_the_savedmodel(version, "serving_default", questions)
        print(row("SavedModel in a loop", direct), "|", flush=True)
        for clients in CLIENTS:
            name = f"server, {clients} client{'s' * (clients > 1)}"
            asked, plain = messages(version, "", questions), bodies(questions)
            by_grpc, by_rest = [], []
            for _ in range(ROUNDS):
                by_grpc += asyncio.run(of_the_server(address, asked, clients, SECONDS / ROUNDS))
                where = f"{url}/v1/models/{model}:predict"
                by_rest += of_rest(where, plain, clients, SECONDS / ROUNDS)
            print(row(name, by_grpc), "|", flush=True)
            ratio = rate(by_rest) / rate(by_grpc)
            print(row(f"{name}, REST", by_rest), f"{ratio:.2f} |", flush=True)
        print("\n| chosen among | p50, ms | p99, ms | requests/s |\n|---|---|---|---|")
        for count in (None, *(count for count in AMONG if count <= len(items))):
            name = "all items"
            if count:
                name = f"{count:,} items"
                for question in questions:
                    question["among"] = rng.choice(items, (1, count), replace=False)
            direct = of_the_savedmodel(version, "recommend", questions)
            print(row(f"{name}, SavedModel in a loop", direct), flush=True)
            asked = messages(version, "recommend", questions)
            print(
                row(f"{name}, server", asyncio.run(of_the_server(address, asked, 1, SECONDS))),
                flush=True,
            )
    finally:
        server.terminate()
        server.wait()


def catalogue(version) -> np.ndarray:
    """All ids: what a user without a history gets who asks for as much as the model allows."""
    import tensorflow as tf

    inputs = defaults(version, "recommend")
    inputs["history"] = inputs["exclude"]
    try:
        version.run("recommend", inputs | {"k": np.zeros(1, np.int32)})
    except tf.errors.InvalidArgumentError as error:
        size = int(re.search(r"from 1 to (\d+)", error.message)[1])
    return version.run("recommend", inputs | {"k": np.array([size], np.int32)})["item_ids"][0]


def defaults(version, signature: str) -> dict[str, np.ndarray]:
    """What a signature's inputs are that a request leaves out."""
    import tensorflow as tf

    found = version.signatures[signature].defaults
    return {name: tf.make_ndarray(proto) for name, proto in found.items()}


def messages(version, signature: str, questions: list[dict[str, np.ndarray]]) -> list[bytes]:
    """The questions as requests."""
    import tensorflow as tf
    from tensorflow_serving.apis.predict_pb2 import PredictRequest

    requests = []
    for question in questions:
        request = PredictRequest()
        request.model_spec.name = version.name
        request.model_spec.signature_name = signature
        for name, array in question.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        requests.append(request.SerializeToString())
    return requests


def bodies(questions: list[dict[str, np.ndarray]]) -> list[bytes]:
    """The questions as TF-Serving's REST has them."""
    plain = [{name: array.tolist() for name, array in question.items()} for question in questions]
    return [json.dumps({"inputs": inputs}, default=bytes.decode).encode() for inputs in plain]


def of_the_savedmodel(version, signature: str, questions: list[dict]) -> list[np.ndarray]:
    """When each call began and ended, in seconds: [calls, 2], the one of a list."""
    questions = [{**defaults(version, signature), **question} for question in questions]
    spans, end = [], time.perf_counter() + WARM_UP + SECONDS
    while (begin := time.perf_counter()) < end:
        version.run(signature, questions[len(spans) % QUESTIONS])
        spans.append((begin, time.perf_counter()))
    return [counted(np.array(spans))]


async def of_the_server(
    address: str, messages: list[bytes], clients: int, seconds: float
) -> list[np.ndarray]:
    """When each request began and ended, in seconds: [requests, 2], the one of a list."""
    import grpc

    end = time.perf_counter() + WARM_UP + seconds
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
    return [counted(np.array(spans))]


def of_rest(url: str, bodies: list[bytes], clients: int, seconds: float) -> list[np.ndarray]:
    """When each request began and ended, in seconds: [requests, 2], the one of a list."""
    end = time.perf_counter() + WARM_UP + seconds

    def client(number: int) -> list[tuple[float, float]]:
        spans, count = [], number
        with urllib3.PoolManager(retries=False) as connection:
            while (begin := time.perf_counter()) < end:
                answer = connection.request("POST", url, body=bodies[count % QUESTIONS])
                assert answer.status == 200, answer.data
                spans.append((begin, time.perf_counter()))
                count += clients
        return spans

    with ThreadPoolExecutor(clients) as pool:
        return [counted(np.concatenate(list(pool.map(client, range(clients)))))]


def counted(spans: np.ndarray) -> np.ndarray:
    """Those that began after the warm-up."""
    return spans[spans[:, 0] >= spans[:, 0].min() + WARM_UP]


def rate(rounds: list[np.ndarray]) -> float:
    """Requests a second."""
    seconds = sum(spans[:, 1].max() - spans[:, 0].min() for spans in rounds)
    return sum(map(len, rounds)) / seconds


def row(name: str, rounds: list[np.ndarray]) -> str:
    """A line of a table."""
    seconds = np.concatenate([end - begin for begin, end in (spans.T for spans in rounds)])
    median, slow = np.percentile(seconds, [50, 99]) * 1e3
    return f"| {name} | {median:.2f} | {slow:.2f} | {rate(rounds):,.0f} |"


if __name__ == "__main__":
    auto_cli(main, as_positional=True)
