"""Fixtures that several test files share."""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import hypothesis
import numpy as np
import pytest

from tests.processes import Popen

# Fixtures that take long to make: the tests that share one are one worker's.
LONG_FIXTURES = ("recommenders", "systems", "explored", "model")
SHARED = Path(os.environ.get("TFRS_TIMIREC_SHARED", Path(__file__).parents[2] / "shared"))

# A machine that is busy with something else makes no test fail.
hypothesis.settings.register_profile("all", deadline=None)
hypothesis.settings.load_profile("all")
# A quarter of what is tried else; `tests.examples` has those that are dear.
hypothesis.settings.register_profile("quick", max_examples=25)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores, for many tests wait for servers and clocks."""
    return len(os.sched_getaffinity(0)) + 1


def pytest_itemcollected(item):
    """Groups tests for `--dist loadgroup`, by what takes long to make, and else by file."""
    item.add_marker(pytest.mark.xdist_group(_shared(item) or item.path.stem))


def pytest_collection_modifyitems(items):
    """Puts these groups first, so that no worker has one of them left when the others are done."""
    order = [*LONG_FIXTURES, None]
    items.sort(key=lambda item: order.index(_shared(item)))


def _shared(item) -> str | None:
    return next((name for name in LONG_FIXTURES if name in item.fixturenames), None)


@pytest.fixture
def shared_data():
    """A function from a file's name to its path in the optional folder of real data."""

    def find(name: str) -> Path:
        path = SHARED / "data" / name
        if not path.exists():
            pytest.skip(f"{path} is absent: set TFRS_TIMIREC_SHARED to the folder of test data")
        return path

    return find


@pytest.fixture(scope="session")
def log(tmp_path_factory) -> Path:
    """A CSV of 400 users who walk through 60 items in small steps."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("log") / "log.csv"
    with open(path, "w") as file:
        file.write("user_id,item_id,timestamp\n")
        for user in range(400):
            items = (rng.integers(60) + np.cumsum(rng.integers(1, 4, 12))) % 60
            file.writelines(f"u{user},i{item},{time}\n" for time, item in enumerate(items))
    return path


@pytest.fixture(scope="session")
def arguments(log) -> list[str]:
    """Flags of a small training on the log."""
    return [
        f"--data.source={log}",
        f"--data.folder={log.parent / 'data'}",
        "--model.embedding_size=16",
        "--model.num_interests=2",
        "--model.history_length=2",
        "--model.predictor_layers=2",
        "--model.predictor_dropout=0.2",
        "--training.learning_rate=0.005",
        "--training.batch_size=64",
        "--training.max_epochs=6",
        "--evaluation.negatives=30",
        "--seed=7",
    ]


@pytest.fixture
def start():
    """Starts a module as a process of its own; what still runs in the end is killed."""
    processes = []

    def start(module: str, *arguments: str) -> Popen:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = Popen(["-m", module, *arguments], **pipes)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def eagerly():
    """A context in which nothing is compiled, which takes longer than to train a tiny model."""
    import tensorflow as tf

    from tfrs_timirec.evaluation import ranking

    def at_once(queries, items, index):
        return tf.reduce_max(tf.matmul(queries, tf.gather(items, index), transpose_b=True), axis=1)

    @contextmanager
    def eagerly():
        with pytest.MonkeyPatch.context() as patch:
            # Its loop over users is quick where it is compiled alone.
            patch.setattr(ranking, "scores_of_candidates", at_once)
            tf.config.run_functions_eagerly(True)
            try:
                yield
            finally:
                tf.config.run_functions_eagerly(False)

    return eagerly


@pytest.fixture
def eager(eagerly):
    """Nothing is compiled in the test."""
    with eagerly():
        yield


class Trained(NamedTuple):
    """What the command made of a system.

    Args:
        run: The folder of the run.
        recommender: The trained one.
        flags: Those of the command.
    """

    run: Path
    recommender: object
    flags: list[str]


class Systems:
    """A run of each system, trained by the command when it is first asked for.

    Args:
        folder: Where the runs are, each under the name of its system, and `log.csv`.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._trained: dict[str, Trained] = {}

    def __getitem__(self, system: str) -> Trained:
        if system not in self._trained:
            self._trained[system] = self._train(system)
        return self._trained[system]

    def _train(self, system: str) -> Trained:
        from tfrs_timirec import Recommender, train
        from tfrs_timirec.data import instances

        run = self.folder / system
        flags = [
            f"--run={run}",
            f"--model.system={system}",
            f"--data.source={self.folder / 'log.csv'}",
            f"--data.folder={self.folder / 'data'}",
            "--model.embedding_size=16",
            "--model.history_length=2",
            "--training.initial_stddev=0.1",
            "--training.learning_rate=0.01",
            "--training.batch_size=64",
            "--training.max_epochs=3",
            "--evaluation.negatives=30",
        ]
        fitted, fit = [], Recommender.fit

        def kept(*args, **kwargs):
            fitted.append(fit(*args, **kwargs))
            return fitted[0]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["command", *flags])
            patch.setattr(Recommender, "fit", kept)
            # Each step is compiled once.
            patch.setattr(instances, "WIDTHS", (1,))
            train.main()
        return Trained(run, fitted[0], flags)


@pytest.fixture(scope="session")
def systems(log, tmp_path_factory) -> Systems:
    """Runs on a log of their own."""
    folder = tmp_path_factory.mktemp("systems")
    shutil.copy(log, folder / "log.csv")
    return Systems(folder)
