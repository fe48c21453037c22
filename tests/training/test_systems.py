"""Every system is trained, evaluated, and restored in a fresh process, by the commands."""

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.processes import run
from tfrs_timirec.models.systems import SYSTEMS

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
    "sasrec_deep": ["popularity", "SASRec (deep)"],
    "esasrec": ["popularity", "eSASRec"],
    "bsarec": ["popularity", "BSARec"],
    "hstu": ["popularity", "HSTU"],
    "comirec_ligr": ["popularity", "ComiRec (LiGR)"],
    "timirec_ligr": ["popularity", "ComiRec (LiGR) (phase 1)", "TiMiRec (LiGR)"],
    "comirec_bsarec": ["popularity", "ComiRec (BSARec)"],
    "timirec_bsarec": ["popularity", "ComiRec (BSARec) (phase 1)", "TiMiRec (BSARec)"],
}


# The two phases; that each system learns is also told by tests/models/test_systems.py.
QUICK = ("popularity", "timirec")
each_system = pytest.mark.parametrize(
    "system",
    [pytest.param(name, marks=[pytest.mark.long] * (name not in QUICK)) for name in TITLES],
)


def test_none_is_left_out():
    assert set(TITLES) == set(SYSTEMS)


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
    # Blocks have all but learned this log when their second phase begins.
    deep = ("timirec_ligr", "timirec_bsarec")
    for phase in {row["phase"] for row in rows} if system not in deep else {"1"}:
        losses = [float(row["loss"]) for row in rows if row["phase"] == phase]
        assert losses[0] > losses[1] > losses[2]
    popularity, *_, learned = figures.values()
    assert learned["sampled"]["HR@5"] > popularity["sampled"]["HR@5"] + 0.1


@each_system
def test_interests_are_told_of_systems_that_have_several(systems, system):
    metrics = metrics_of(systems[system].run)
    *_, title = TITLES[system]
    several = system.startswith(("mind", "comirec", "timirec"))
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
def test_a_fresh_process_gives_the_same_metrics(systems):
    folders = [systems[system].run for system in TITLES]
    script = Path(__file__).with_name("evaluate_runs.py")
    done = run([script, *folders])
    assert done.returncode == 0, done.stderr
    for system, line in zip(TITLES, done.stdout.splitlines(), strict=True):
        expected = metrics_of(systems[system].run)
        # What a system was before its last phase is not kept.
        of_phases = [title for title in TITLES[system] if "phase" in title]
        for figures in (expected, *expected["groups"].values()):
            for title in of_phases:
                del figures["test"][title]
        assert json.loads(line) == expected
