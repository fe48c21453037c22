"""Trained runs, what they export, and a server of it."""

import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from export.publish import publish
from export.settings import ExportSettings
from tfrs_timirec import train

ROOT = Path(__file__).parents[2]


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


@pytest.fixture(scope="session")
def runs(log, wide_log, tmp_path_factory) -> dict[str, Path]:
    """A run folder by system: of strings; ComiRec's of integers, with two query vectors."""
    folder = tmp_path_factory.mktemp("runs")
    sources = {"timirec": log, "comirec": wide_log, "tisasrec": log, "popularity": log}
    for system, source in sources.items():
        flags = [
            f"--run={folder / system}",
            f"--model.system={system}",
            f"--data.source={source}",
            f"--data.folder={source.parent / 'data'}",
            "--data.core=1",
            "--model.embedding_size=16",
            "--model.history_length=4",
            "--training.initial_stddev=0.1",
            "--training.learning_rate=0.01",
            "--training.batch_size=64",
            "--training.max_epochs=2",
            "--evaluation.negatives=30",
        ]
        if system in ("timirec", "comirec"):
            flags.append("--model.num_interests=2")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["train", *flags])
            train.main()
    return {system: folder / system for system in sources}


@pytest.fixture(scope="session")
def exports(runs, titles, tmp_path_factory) -> dict[str, Path]:
    """The folder of the models of each run; TiMiRec's with titles and kinds."""
    folder = tmp_path_factory.mktemp("exports")
    for system, run in runs.items():
        settings = ExportSettings(k=5)
        if system == "timirec":
            settings = ExportSettings(k=5, titles=str(titles), categories_column="kind")
        publish(run, folder / system, settings)
    return {system: folder / system for system in runs}


class Server:
    """A server process.

    Args:
        folder: Of the models.
        flags: Further ones.
    """

    def __init__(self, folder: Path, *flags: str):
        command = [sys.executable, "-m", "export.server", str(folder), "--port=0"]
        self.process = subprocess.Popen(
            [*command, "--poll_seconds=0.2", *flags],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for line in self.process.stderr:
            if found := re.search(r"Serving .* on (\S+)$", line):
                self.address = found[1]
                break
        else:
            raise AssertionError("The server ended before it served.")

    def stop(self) -> None:
        """Kills it."""
        self.process.kill()
        self.process.communicate()

    @contextmanager
    def stub(self):
        """The stub of tensorflow-serving-api on a connection."""
        with grpc.insecure_channel(self.address) as channel:
            yield PredictionServiceStub(channel)


@pytest.fixture
def serve():
    """Starts servers; they are killed in the end."""
    servers = []

    def serve(folder: Path, *flags: str) -> Server:
        servers.append(Server(folder, *flags))
        return servers[-1]

    yield serve
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def server(exports):
    """A server of TiMiRec that all tests share, and that must survive them all."""
    server = Server(exports["timirec"])
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
