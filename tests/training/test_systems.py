"""Every system is trained, evaluated, and restored in a fresh process, by the commands."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tfrs_timirec import train

TITLES = {
    "popularity": ["popularity"],
    "youtube_dnn": ["popularity", "YouTube DNN"],
    "gru4rec": ["popularity", "GRU4Rec"],
    "mind": ["popularity", "MIND"],
    "comirec": ["popularity", "ComiRec"],
    "sasrec": ["popularity", "SASRec"],
    "tisasrec": ["popularity", "TiSASRec"],
}


@pytest.fixture(scope="module")
def runs(log, tmp_path_factory):
    """The folder of a run of each system; TiMiRec's is tested beside this one."""
    folder = tmp_path_factory.mktemp("systems")
    for system in TITLES:
        with pytest.MonkeyPatch.context() as patch:
            arguments = [
                f"--run={folder / system}",
                f"--model.system={system}",
                f"--data.source={log}",
                f"--data.folder={log.parent / 'data'}",
                "--model.embedding_size=16",
                "--model.history_length=2",
                "--training.initial_stddev=0.1",
                "--training.learning_rate=0.01",
                "--training.batch_size=64",
                "--training.max_epochs=3",
                "--evaluation.negatives=30",
            ]
            patch.setattr(sys, "argv", ["command", *arguments])
            train.main()
    return folder


def read_metrics(runs):
    return {system: json.loads((runs / system / "metrics.json").read_text()) for system in TITLES}


def test_each_system_is_reported_under_its_name(runs):
    for system, metrics in read_metrics(runs).items():
        assert list(metrics["test"]) == TITLES[system]
        columns = pq.read_schema(runs / system / "users.parquet").names
        assert f"{TITLES[system][-1]} sampled rank" in columns


@pytest.mark.parametrize("system", [name for name in TITLES if name != "popularity"])
def test_each_system_learns(runs, system):
    with open(runs / system / "log.csv") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert losses[0] > losses[1] > losses[2]
    popularity, learned = read_metrics(runs)[system]["test"].values()
    assert learned["sampled"]["HR@5"] > popularity["sampled"]["HR@5"] + 0.1


def test_a_fresh_process_gives_the_same_metrics(runs):
    expected = read_metrics(runs)
    folders = [runs / system for system in TITLES]
    for folder in folders:
        (folder / "metrics.json").unlink()
    script = Path(__file__).with_name("evaluate_runs.py")
    done = subprocess.run(
        [sys.executable, str(script), *map(str, folders)],
        env={**os.environ, "PYTHONPATH": str(script.parents[2])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert read_metrics(runs) == expected
