"""Trained recommenders, what they export, and a server of it."""

import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
import requests
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest, ModelVersionStatus
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from tests.processes import Popen
from tfrs_timirec.export.publish import MODELS, publish
from tfrs_timirec.export.saved import read_signatures
from tfrs_timirec.export.settings import ExportSettings
from tfrs_timirec.recommender import Recommender


@pytest.fixture(scope="session")
def wide_log(tmp_path_factory) -> Path:
    """A CSV of integer ids, enough items for a ScaNN index."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("wide") / "wide.csv"
    with open(path, "w") as file:
        file.write("user_id,item_id,timestamp\n")
        for user in range(500):
            items = (rng.integers(1500) + np.cumsum(rng.integers(1, 4, 12))) % 1500
            file.writelines(f"{user},{item + 1000},{time}\n" for time, item in enumerate(items))
    return path


@pytest.fixture(scope="session")
def titles(tmp_path_factory) -> Path:
    """A typed-header file of titles and kinds for the first 59 of the small log's 60 items."""
    path = tmp_path_factory.mktemp("titles") / "log.item"
    rows = "".join(f"i{item}\tItem, number {item}\tc{item % 3}\n" for item in range(59))
    path.write_text(f"item_id:token\ttitle:token_seq\tkind:token\n{rows}")
    return path


def fitted(system: str, log: Path) -> Recommender:
    """A small recommender: 4 items of history, vectors of 16 numbers and, if several, 2 interests.

    Args:
        system: The system's name.
        log: A CSV.
    """
    settings = {"core": 1, "history_length": 4, "folder": str(log.parent / "data")}
    if system != "popularity":
        settings |= {
            "embedding_size": 16,
            "initial_stddev": 0.1,
            "learning_rate": 0.03,
            "batch_size": 4096,
            "max_epochs": 1,
        }
    if system in ("timirec", "comirec"):
        settings["num_interests"] = 2
    return Recommender(system, negatives=30, **settings).fit(str(log), silent=True)


@pytest.fixture(scope="session")
def recommenders(log, wide_log, eagerly) -> dict[str, Recommender]:
    """A recommender by system: of strings; ComiRec's of integers, with two query vectors."""
    logs = {"timirec": log, "comirec": wide_log, "tisasrec": log, "popularity": log}
    with eagerly():
        return {system: fitted(system, source) for system, source in logs.items()}


# The models of each system; of the last two `scann` would be a copy, as it is of TiMiRec.
EXPORTED = {
    "timirec": MODELS,
    "comirec": MODELS,
    "tisasrec": ("exact",),
    "popularity": ("exact",),
}


@pytest.fixture(scope="session")
def exports(recommenders, titles, tmp_path_factory) -> dict[str, Path]:
    """The folder of the models of each recommender; TiMiRec's with titles and kinds."""
    folder = tmp_path_factory.mktemp("exports")
    for system, recommender in recommenders.items():
        settings = ExportSettings(k=5)
        if system == "timirec":
            settings = ExportSettings(k=5, titles=str(titles), categories_column="kind")
        publish(recommender, folder / system, settings, EXPORTED[system])
    return {system: folder / system for system in recommenders}


# Steps of the slow model: half a minute on a fast machine.
SLOW = np.int32(30_000_000)


@pytest.fixture(scope="session")
def slow_model(tmp_path_factory) -> Path:
    """The folder of a model `exact` whose signature `recommend` counts `steps`."""
    folder = tmp_path_factory.mktemp("slow")
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, "steps")])
    def count(steps):
        return {"counted": tf.while_loop(lambda i: i < steps, lambda i: [i + 1], [0])[0]}

    module.count = count
    tf.saved_model.save(module, str(folder / "exact" / "1"), {"recommend": count})
    return folder


class Loaded:
    """A version, loaded by TensorFlow.

    Unlike TensorFlow itself, it fills in the inputs that a call leaves out, as a server does.

    Args:
        version: Its folder.
    """

    def __init__(self, version: Path):
        self.definitions = read_signatures(version)
        self._model = tf.saved_model.load(str(version))

    def __call__(self, signature: str = "recommend", **inputs) -> dict[str, np.ndarray]:
        """The outputs of a signature for whatever TensorFlow makes tensors of."""
        definition = self.definitions[signature]
        inputs = {
            **{name: tf.make_ndarray(proto) for name, proto in definition.defaults.items()},
            **inputs,
        }
        outputs = self._model.signatures[signature](
            **{name: tf.constant(x, definition.inputs[name].dtype) for name, x in inputs.items()}
        )
        return {name: tensor.numpy() for name, tensor in outputs.items()}


@pytest.fixture(scope="session")
def loaded(exports) -> dict[tuple[str, str], Loaded]:
    """Each exported model, by the system and the model's name."""
    return {
        (system, name): Loaded(folder / name / "1")
        for system, folder in exports.items()
        for name in EXPORTED[system]
    }


class Server:
    """A server process.

    Args:
        folder: Of the models.
        flags: Further ones.
        **kwargs: Of the process.

    Attributes:
        address: Of gRPC.
        url: Of the models by REST, if the flags ask for it.
        metrics: Where Prometheus would look, if a test has set it.
        log: Its lines since it serves.
    """

    def __init__(self, folder: Path, *flags: str, **kwargs):
        command = ["-m", "tfrs_timirec.export.server", folder, "--port=0", "--poll_seconds=0.2"]
        self.process = Popen([*command, *flags], stderr=subprocess.PIPE, text=True, **kwargs)
        self.url = self.metrics = None
        for line in self.process.stderr:
            if found := re.search(r"REST on (\S+)$", line):
                self.url = found[1] + "/v1/models"
            if found := re.search(r"Serving .* on (\S+)$", line):
                self.address = found[1]
                break
        else:
            raise AssertionError("The server ended before it served.")
        self.log: list[str] = []
        # A full pipe would stop the server.
        threading.Thread(target=self.log.extend, args=[self.process.stderr], daemon=True).start()

    def stop(self) -> None:
        """Kills it."""
        self.process.kill()
        self.process.wait()

    @contextmanager
    def stub(self):
        """The stub of tensorflow-serving-api on a connection."""
        with grpc.insecure_channel(self.address) as channel:
            yield PredictionServiceStub(channel)


@pytest.fixture
def serve():
    """Starts servers; they are killed in the end."""
    servers = []

    def serve(folder: Path, *flags: str, **kwargs) -> Server:
        servers.append(Server(folder, *flags, **kwargs))
        return servers[-1]

    yield serve
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def server(exports):
    """A server of TiMiRec that all tests share, and that must survive them all."""
    port = free_port()
    server = Server(exports["timirec"], "--rest_port=0", f"--metrics_port={port}")
    server.metrics = f"http://127.0.0.1:{port}/metrics"
    yield server
    assert server.process.poll() is None
    server.stop()


def request(signature: str = "recommend", model: str = "exact", **inputs) -> PredictRequest:
    """A request with inputs from whatever TensorFlow makes a tensor of."""
    message = PredictRequest()
    message.model_spec.name = model
    message.model_spec.signature_name = signature
    for name, value in inputs.items():
        message.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return message


def proto(dtype, shape, **values) -> TensorProto:
    """A tensor as a client could have made it, whether or not it makes sense."""
    tensor = TensorProto(dtype=dtype, **values)
    for size in shape:
        tensor.tensor_shape.dim.add().size = size
    return tensor


def statuses(address, model="exact") -> dict[int, ModelVersionStatus]:
    message = GetModelStatusRequest()
    message.model_spec.name = model
    with grpc.insecure_channel(address) as channel:
        response = ModelServiceStub(channel).GetModelStatus(message, timeout=20)
    return {status.version: status for status in response.model_version_status}


def wait_for(condition: Callable[[], bool]) -> bool:
    """Whether a condition comes true within some time."""
    end = time.monotonic() + 60
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def metric(url: str, name: str, **labels: str) -> float:
    """A figure of a server's; 0 where it is not told yet."""
    text = requests.get(url, timeout=20).text
    told = ",".join(f'{label}="{value}"' for label, value in labels.items())
    found = re.search(rf"^{name}{{{told}}} (\S+)" if told else rf"^{name} (\S+)", text, re.M)
    return float(found[1]) if found else 0.0


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
