"""A run that is killed or interrupted ends with the same weights as one that is not."""

import csv
import json
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from tests.processes import PATIENCE
from tfrs_timirec.training.checkpoint import load_progress
from tfrs_timirec.training.loop import _stop_signals
from tfrs_timirec.training.run import Run


def rows(run: Path) -> list[dict]:
    try:
        with open(run / "log.csv") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        return []


def wait_for(process, condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the training does not get on"
        time.sleep(0.01)


def weights(run: Path) -> dict[str, np.ndarray]:
    arrays = {}
    for phase in (1, 2):
        with np.load(run / "checkpoints" / f"phase{phase}.npz") as file:
            arrays |= {f"{phase} {name}": file[name] for name in file.files}
    return arrays


def contents(run: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def figures(output: str, system: str) -> list[list[str]]:
    """The system's row of each table that was printed."""
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in output.splitlines()]
    return [row for row in rows if row and row[0] == system]


def test_who_is_deaf_to_ctrl_c_stays_so():
    """As shells make the jobs that they start in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with _stop_signals() as stop:
            signal.raise_signal(signal.SIGINT)
            assert stop == []
            signal.raise_signal(signal.SIGTERM)
            assert stop == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.long
def test_killed_and_interrupted_runs_end_like_an_undisturbed_one(start, arguments, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    undisturbed = start("tfrs_timirec.train", *arguments, f"--run={whole}")

    process = start("tfrs_timirec.train", *arguments, f"--run={broken}")
    wait_for(process, lambda: len(rows(broken)) >= 2)
    process.kill()
    process.wait()

    process = start("tfrs_timirec.train", *arguments, f"--run={broken}", "--resume")
    wait_for(process, lambda: len(rows(broken)) >= 4)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert (
        "Continue with: " in errors and "-m tfrs_timirec.train" in errors and "--resume" in errors
    )
    saved = load_progress(Run(broken).latest)
    assert bool(saved.step) == bool(saved.seconds)

    process = start("tfrs_timirec.train", *arguments, f"--run={broken}", "--resume")
    wait_for(process, lambda: rows(broken)[-1]["phase"] == "2")
    process.kill()
    process.wait()
    # What an epoch took, before the interruption and after.
    assert float(rows(broken)[saved.epoch]["training_seconds"]) >= round(saved.seconds, 2)

    process = start("tfrs_timirec.train", *arguments, f"--run={broken}", "--resume")
    output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert "TiMiRec" in output and "popularity" in output

    _, errors = undisturbed.communicate(timeout=PATIENCE)
    assert undisturbed.returncode == 0, errors
    expected, found = weights(whole), weights(broken)
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        assert array.tobytes() == found[name].tobytes(), name
    metrics = (whole / "metrics.json").read_text()
    assert metrics == (broken / "metrics.json").read_text()

    before = contents(whole)
    process = start("tfrs_timirec.evaluate", str(whole))
    printed, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert contents(whole) == before
    for system in ("popularity", "TiMiRec"):
        assert len(figures(output, system)) == 2
        assert figures(printed, system) == figures(output, system)
    assert json.loads(metrics)["users"] == 400
    for name in ("settings.yaml", "environment.json", "curve.png", "users.parquet", "log.csv"):
        assert (whole / name).stat().st_size > 0
    for name in ("recommender.json", "user_tower.keras", "sequences/interactions.parquet"):
        assert (whole / "model" / name).stat().st_size > 0
    assert list((whole / "tensorboard").rglob("events.out.tfevents.*"))
