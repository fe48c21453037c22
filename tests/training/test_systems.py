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


# The two phases; that each system learns is also told by tests/models/test_systems.py.
QUICK = ("popularity", "timirec")
each_system = pytest.mark.parametrize(
    "system",
    [pytest.param(name, marks=[pytest.mark.long] * (name not in QUICK)) for name in TITLES],
)


def metrics_of(run: Path) -> dict:
    return json.loads((run / "metrics.json").read_text())


@each_system
def test_a_system_is_reported_under_its_name_and_learns(systems, system):
    run = systems[system].run
    figures = metrics_of(run)["test"]
    assert list(figures) == TITLES[system]
    columns = pq.read_schema(run / "users.parquet").names
    assert f"{TITLES[system][-1]} sampled rank" in columns
    if system == "popularity":
        return
    with open(run / "log.csv") as file:
        rows = list(csv.DictReader(file))
    for phase in {row["phase"] for row in rows}:
        losses = [float(row["loss"]) for row in rows if row["phase"] == phase]
        assert losses[0] > losses[1] > losses[2]
    popularity, *_, learned = figures.values()
    assert learned["sampled"]["HR@5"] > popularity["sampled"]["HR@5"] + 0.1


@pytest.mark.long
def test_a_fresh_process_gives_the_same_metrics(systems):
    folders = [systems[system].run for system in TITLES]
    script = Path(__file__).with_name("evaluate_runs.py")
    done = run([script, *folders])
    assert done.returncode == 0, done.stderr
    for system, line in zip(TITLES, done.stdout.splitlines(), strict=True):
        expected = metrics_of(systems[system].run)
        # What a system was before its last phase is not kept.
        for title in TITLES[system]:
            if "phase" in title:
                del expected["test"][title]
        assert json.loads(line) == expected
