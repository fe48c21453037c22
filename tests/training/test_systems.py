"""Every system is trained, evaluated, and restored in a fresh process, by the commands."""

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.processes import run

TITLES = {
    "popularity": ["popularity"],
    "youtube_dnn": ["popularity", "YouTube DNN"],
    "gru4rec": ["popularity", "GRU4Rec"],
    "mind": ["popularity", "MIND"],
    "comirec": ["popularity", "ComiRec"],
    "sasrec": ["popularity", "SASRec"],
    "tisasrec": ["popularity", "TiSASRec"],
    "timirec": ["popularity", "ComiRec (phase 1)", "TiMiRec"],
    "timirec_mind": ["popularity", "MIND (phase 1)", "TiMiRec (MIND)"],
}


@pytest.fixture
def runs(systems):
    """The folder of a run of each system."""
    return systems.folder


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
        rows = list(csv.DictReader(file))
    for phase in {row["phase"] for row in rows}:
        losses = [float(row["loss"]) for row in rows if row["phase"] == phase]
        assert losses[0] > losses[1] > losses[2]
    popularity, *_, learned = read_metrics(runs)[system]["test"].values()
    assert learned["sampled"]["HR@5"] > popularity["sampled"]["HR@5"] + 0.1


def test_interests_are_told_of_systems_that_have_several(runs):
    for system, metrics in read_metrics(runs).items():
        *_, title = TITLES[system]
        several = system in ("mind", "comirec", "timirec", "timirec_mind")
        assert list(metrics["interests"]) == [title] * several
        assert list(metrics["lists"]) == list(dict.fromkeys(["popularity", title]))
        if several:
            figures = metrics["interests"][title]
            predicted = {"in play", "accuracy", "calibration error"} & figures.keys()
            assert len(predicted) == 3 * system.startswith("timirec")
            assert 1 <= figures["effective number"] <= figures["interests"]
            assert 0 < figures["attention entropy"] <= 1
            assert figures["oracle"]["HR@5"] > 0
            full = metrics["test"][title]["full"]
            assert figures["model"] == {name: full[name] for name in figures["model"]}


@pytest.mark.long
def test_a_fresh_process_gives_the_same_metrics(runs):
    expected = read_metrics(runs)
    folders = [runs / system for system in TITLES]
    script = Path(__file__).with_name("evaluate_runs.py")
    done = run([script, *folders])
    assert done.returncode == 0, done.stderr
    for system, line in zip(TITLES, done.stdout.splitlines(), strict=True):
        # What a system was before its last phase is not kept.
        of_phases = [title for title in TITLES[system] if "phase" in title]
        groups = expected[system]["groups"].values()
        for title in of_phases:
            for figures in (expected[system], *groups):
                del figures["test"][title]
        assert json.loads(line) == expected[system]
