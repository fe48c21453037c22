"""A comparison of small trainings, by the command, interrupted once."""

import json
import os
import signal
import subprocess
import time
from concurrent.futures import wait
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from threading import Event

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats
from scipy.spatial.distance import jensenshannon

from tests.processes import PATIENCE, ROOT, Popen
from tfrs_timirec import compare as command
from tfrs_timirec.compare import _main
from tfrs_timirec.comparison import trainings
from tfrs_timirec.comparison.interests import distribution, jensen_shannon
from tfrs_timirec.comparison.results import differences, read_planted
from tfrs_timirec.comparison.settings import ComparisonSettings, Entry, make_plan
from tfrs_timirec.comparison.trainings import _train, first_of, shares_of_cores, train_missing
from tfrs_timirec.config import settings_from, settings_named
from tfrs_timirec.errors import UserError
from tfrs_timirec.evaluation.metrics import metric
from tfrs_timirec.training.run import Run

DEFAULT = settings_named("timirec", {})
OF_THE_PAPER = {
    "popularity",
    "youtube_dnn",
    "gru4rec",
    "mind",
    "comirec",
    "sasrec",
    "tisasrec",
    "timirec",
}


@pytest.fixture(scope="module")
def config(log, tmp_path_factory) -> Path:
    """The YAML of a comparison of three systems, an ablation and one other K."""
    folder = tmp_path_factory.mktemp("comparison")
    titles = folder / "titles.csv"
    titles.write_text(
        "sku:token,name:token_seq\n" + "".join(f"i{i},<Item {i}>\n" for i in range(60))
    )
    values = {
        "references": ["TiMiRec", "ComiRec"],
        "runs": str(folder / "runs"),
        "out": str(folder / "report"),
        "seeds": 1,
        "paper": "Beauty",
        "titles": str(titles),
        "titles_id_column": "sku",
        "titles_column": "name",
        "base": {
            "data": {"source": str(log), "folder": str(log.parent / "data")},
            "model": {"embedding_size": 16, "history_length": 1},
            "training": {
                "learning_rate": 0.01,
                "initial_stddev": 0.1,
                "batch_size": 64,
                "max_epochs": 2,
            },
            "evaluation": {"negatives": 30},
        },
        "systems": {
            "popularity": {"model": {"system": "popularity"}},
            "ComiRec": {"model": {"system": "comirec", "num_interests": 2}},
            "TiMiRec": {"model": {"num_interests": 2}},
        },
        "ablations": {"joint training": {"model": {"num_interests": 2, "pretraining": False}}},
        "sensitivity": {"TiMiRec": {"model.num_interests": [1, 2]}},
    }
    path = folder / "comparison.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


def compare(config: Path) -> Popen:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return Popen(["-m", "tfrs_timirec.compare", "--config", config], **pipes)


@pytest.fixture(scope="module")
def report(config) -> Path:
    """The folder of the report, of a comparison that was interrupted and gone on with."""
    interrupted = compare(config)
    first = config.parent / "runs" / "ComiRec-0" / "settings.yaml"
    deadline = time.monotonic() + PATIENCE
    while not first.exists():
        assert interrupted.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    interrupted.send_signal(signal.SIGINT)
    _, errors = interrupted.communicate(timeout=PATIENCE)
    assert interrupted.returncode == 130, errors
    assert "Continue with the same command" in errors
    again = compare(config)
    _, errors = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0, errors
    return config.parent / "report"


@pytest.mark.long
def test_the_tables_are_those_of_the_runs(config, report):
    figures = pd.read_csv(report / "systems.csv")
    assert list(figures["name"].unique()) == ["popularity", "ComiRec", "TiMiRec"]
    for _, row in figures.iterrows():
        text = (config.parent / "runs" / f"{row['name']}-0" / "metrics.json").read_text()
        expected = list(json.loads(text)["test"].values())[-1][row["protocol"]]
        assert row[list(expected)].to_dict() == pytest.approx(expected)
    markdown = (report / "report.md").read_text()
    rows = {
        cells[1].strip(): [cell.strip() for cell in cells[2:-1]]
        for cells in (line.split("|") for line in markdown.splitlines() if line.startswith("|"))
        if "(" in cells[3]
    }
    # Beside the paper's, in its tables 2 and 4.
    assert rows["ComiRec"][1].endswith(" (0.1832)")
    assert rows["TiMiRec"][1].endswith(" (0.2006)")
    assert rows["joint training"][1].endswith(" (0.1787)")
    sampled = figures[figures["protocol"] == "sampled"].set_index("name")["HR@10"]
    assert f"**{sampled.max():.4f}**" in markdown
    sensitivity = pd.read_csv(report / "sensitivity_num_interests.csv", index_col=0)
    assert list(sensitivity.index) == [1, 2]
    assert sensitivity.loc[2, "mean"] == pytest.approx(sampled["TiMiRec"])
    assert not (config.parent / "runs" / "TiMiRec num_interests=2-0").exists()
    trainings = pd.read_csv(report / "trainings.csv", index_col=0)
    # 60 items and padding, D = 16, attention 16 × 8 + 8 and 8 × 2 + 2.
    assert trainings.loc["ComiRec", "parameters"] == 61 * 16 + 16 * 8 + 8 + 8 * 2 + 2
    assert trainings.loc["TiMiRec", "epochs"] == 4
    # Its first phase is ComiRec, which is trained once.
    assert "Phase 1 of 2: as " in (config.parent / "runs" / "TiMiRec-0.log").read_text()


@pytest.mark.long
def test_what_is_there_is_not_trained_again(config, report):
    runs = config.parent / "runs"
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*") if path.is_file()}
    first = (report / "report.md").read_text()
    again = compare(config)
    _, errors = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0, errors
    assert before == {path: path.stat().st_mtime_ns for path in runs.rglob("*") if path.is_file()}
    assert (report / "report.md").read_text() == first


@pytest.mark.long
def test_the_differences_over_users(report, config):
    entries = [
        Entry(name, 0, DEFAULT, config.parent / "runs" / f"{name}-0")
        for name in ("popularity", "TiMiRec")
    ]
    found = differences(entries, ["TiMiRec"], ["HR@10"]).set_index("protocol").loc["sampled"]
    gains = []
    for entry in entries:
        users = pd.read_parquet(entry.folder / "users.parquet")
        gains.append(metric("HR@10", users[f"{entry.name} sampled rank"].to_numpy()))
    difference = gains[1] - gains[0]
    assert found.difference == pytest.approx(difference.mean())
    assert found.p == pytest.approx(stats.ttest_1samp(difference, 0).pvalue)
    half = 1.96 * difference.std(ddof=1) / np.sqrt(len(difference))
    assert found.low == pytest.approx(difference.mean() - half, abs=half / 4)
    assert found.high == pytest.approx(difference.mean() + half, abs=half / 4)


def test_new_users_are_left_out_of_the_differences(tmp_path):
    entries = [Entry(name, 0, DEFAULT, tmp_path / name) for name in ("a", "b")]
    ranks = {"a": [0, 50, 0, 50], "b": [50, 0, 50, 50]}
    for entry in entries:
        entry.folder.mkdir()
        columns = {
            "user_id": ["u", "v", "w", "x"],
            "is_new": [False, True, False, False],
            f"{entry.name} sampled rank": ranks[entry.name],
            f"{entry.name} full rank": ranks[entry.name],
        }
        pd.DataFrame(columns).to_parquet(entry.folder / "users.parquet")
    found = differences(entries, ["a"], ["HR@10"]).set_index("protocol")
    assert found.loc["full", "difference"] == pytest.approx(2 / 3)


def test_each_user_is_paired_with_themselves(tmp_path):
    """With each seed others may be tested, and in another order."""
    tested = {("a", 0): "uvw", ("a", 1): "wvx", ("b", 0): "wxvu", ("b", 1): "vwu"}
    entries = [Entry(name, seed, DEFAULT, tmp_path / f"{name}{seed}") for name, seed in tested]
    for entry in entries:
        entry.folder.mkdir()
        users = list(tested[entry.name, entry.seed])
        # By `a` the target of v is found and that of w is not; by `b` the other way round.
        found = {"a": "v", "b": "w"}[entry.name]
        ranks = [0 if user == found else 50 for user in users]
        columns = {"user_id": users, "sampled rank": ranks, "full rank": ranks}
        pd.DataFrame(columns).to_parquet(entry.folder / "users.parquet")
    (row,) = differences(entries, ["a"], ["HR@10"]).query("protocol == 'full'").itertuples()
    assert (row.of_reference, row.of_other, row.difference) == (0.5, 0.5, 0)
    assert row.low < -1 and row.p == pytest.approx(1)


def test_the_planted_interests_are_read_where_there_are_any(tmp_path):
    entries = [Entry(name, 0, DEFAULT, tmp_path / name) for name in ("popularity", "TiMiRec")]
    planted = {"agreement": 0.5, "most frequent": 0.25}
    for entry, metrics in zip(entries, ({}, {"planted interests": planted}), strict=True):
        entry.folder.mkdir()
        (entry.folder / "metrics.json").write_text(json.dumps(metrics))
    found = read_planted(entries)
    assert found.to_dict("records") == [{"name": "TiMiRec", "seed": 0, **planted}]
    assert read_planted(entries[:1]).empty


def test_how_interests_match_an_item():
    interests = np.array([[[1.0, 0.0], [0.0, 2.0]]] * 3)
    items = np.array([[3.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    found = distribution(interests, items)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert found[0, 0] > 0.99
    np.testing.assert_allclose(found[1:], 0.5)


def test_the_divergence_of_interests():
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(4), (2, 200))
    np.testing.assert_allclose(jensen_shannon(p, q), jensenshannon(p, q, base=2, axis=1) ** 2)
    close = p * (1 + 1e-16 * rng.normal(size=p.shape))
    np.testing.assert_allclose(jensen_shannon(p, close), 0, atol=1e-12)
    assert jensen_shannon(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])) == 1


def test_trainings_at_a_time_share_the_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2, 5}, raising=False)
    assert shares_of_cores(1) == [{0, 2, 5}]
    assert shares_of_cores(2) == [{0, 5}, {2}]
    assert shares_of_cores(4) == [{0}, {2}, {5}, {0, 2, 5}]
    monkeypatch.delattr(os, "sched_getaffinity")
    assert shares_of_cores(2) == [set(), set()]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"systems": {}}, "names no systems"),
        ({"references": []}, "names no references"),
        ({"references": ["A", "A"]}, "names the reference 'A' twice"),
        ({"references": ["A", "C"]}, "the reference 'C' is not one of the systems A, B"),
        ({"systems": {"A": {"model": {"interests": 2}}}}, "c.yaml, A"),
        ({"systems": {"A": {"model": {"system": "none"}}}}, "c.yaml, A: model.system is 'none'"),
        ({"systems": {"A": {"model": {"system": ["timirec"]}}}}, "system is .'timirec'.,"),
        ({"systems": {"A": {"model": None}}}, "c.yaml, A cannot be used: model is None"),
        ({"systems": {"A": {"seed": 5}}}, "c.yaml, A: seed is the comparison's to give"),
        ({"systems": {"A": {"data": {"split": "none"}}}}, "c.yaml, A: data.split is none"),
        ({"systems": {"A": {"data": {"core": 3}}}}, "c.yaml, A: its data differs from the others'"),
        (
            {"systems": {"A": {"evaluation": {"negatives": 9}}}},
            "c.yaml, A: its evaluation differs",
        ),
        (
            {"systems": {"A": {"evaluation": {"cutoffs": [3], "metric": "HR@3"}}}},
            "c.yaml, A: its evaluation differs",
        ),
        ({"systems": {"A": {"evaluation": {"protocol": "full"}}}}, "A: its evaluation differs"),
        ({"ablations": {"A": {"model": {"num_interests": 3}}}}, "'A' stands for two trainings"),
        ({"ablations": {"../B": {}}}, "'../B' names a folder: give a name"),
        ({"ablations": {5: {}}}, "5 names a folder"),
        ({"ablations": {" ": {}}}, "' ' names a folder"),
        (
            {"systems": {"A": {"model": {"system": "sasrec"}}}, "case_user": "u"},
            "case_user is 'u', but the first reference, 'A', predicts no interests",
        ),
        (
            {"sensitivity": {"A": {"evaluation.negatives": [9]}}},
            "A negatives=9: its evaluation differs",
        ),
        ({"sensitivity": {"C": {"model.temperature": [1.0]}}}, "'C', which is not a system"),
        ({"sensitivity": {"A": {"model.temperature": []}}}, "needs a value or more"),
        ({"sensitivity": {"A": {"learning_rate": [1.0]}}}, "'learning_rate': name a setting with"),
        ({"sensitivity": {"A": {"seed": [1.0]}}}, "'seed': name a setting with its section"),
        ({"sensitivity": {"A": {"model.num_interests": [1.5]}}}, "num_interests"),
        (
            {"sensitivity": {name: {"model.num_interests": [3.0]} for name in "AB"}},
            "the sensitivity of two systems to model.num_interests",
        ),
    ],
)
def test_a_mistake_in_the_settings_is_told(changes, said):
    systems = {"A": {}, "B": {"model": {"num_interests": 2}}}
    given = {"base": DEFAULT, "systems": systems, "references": ["A"], **changes}
    settings = ComparisonSettings(**given)
    with pytest.raises(UserError, match=said):
        make_plan(settings, "c.yaml")


def test_a_comparison_of_flags_and_sections_in_files(monkeypatch, tmp_path):
    section = tmp_path / "training.yaml"
    section.write_text("max_epochs: 3\n")
    monkeypatch.setattr("sys.argv", ["compare", "--base.training", str(section), "--systems", "{}"])
    with pytest.raises(UserError, match="the command line names no systems"):
        _main()
    (tmp_path / "c.yaml").write_text("base: 5\n")
    monkeypatch.setattr("sys.argv", ["compare", "--config", str(tmp_path / "c.yaml")])
    with pytest.raises(UserError, match="it has 5 in the place of settings"):
        _main()


def test_who_was_trained_for_fewer_epochs_is_trained_on(monkeypatch, tmp_path):
    systems = {"A": {"model": {"system": "comirec"}}, "B": {}}
    changes = {"base": DEFAULT, "systems": systems, "references": ["A"], "seeds": 1}
    plan = make_plan(ComparisonSettings(runs=str(tmp_path), **changes), "c.yaml")
    entry, of_two_phases = plan.entries
    trained = []
    monkeypatch.setattr(trainings, "_train", lambda entry, *rest: trained.append(entry))

    def longer(entry):
        training = replace(entry.settings.training, max_epochs=500)
        return replace(entry, settings=replace(entry.settings, training=training))

    for done in plan.entries:
        Run(done.folder).start(done.settings, ["digest"])
        (done.folder / "metrics.json").write_text("{}")
    train_missing(plan.entries, 1)
    assert not trained
    train_missing([longer(entry)], 1)
    assert trained == [longer(entry)]
    with pytest.raises(UserError, match="B-0 had fewer epochs, and only its last"):
        train_missing([longer(of_two_phases)], 1)


def test_teachers_are_trained_before_whom_they_teach(monkeypatch, tmp_path):
    def taught_by(*names):
        teachers = [str(tmp_path / f"{name}-0") for name in names]
        model = {"system": "bsarec", "objective": "softmax", "label_smoothing": 0.5}
        return {"model": model, "training": {"teachers": teachers}}

    def train(systems):
        changes = {"base": DEFAULT, "systems": systems, "references": ["A"], "seeds": 1}
        plan = make_plan(ComparisonSettings(runs=str(tmp_path), **changes), "c.yaml")
        train_missing(plan.entries, 2)

    ended, awaited_by = [], {}

    def fake(entry, first, awaited, *rest):
        wait(awaited)
        awaited_by[entry.name] = len(awaited)
        ended.append(entry.name)

    monkeypatch.setattr(trainings, "_train", fake)
    other = {"model": {"system": "sasrec"}}
    train({"C": taught_by("A", "B"), "B": taught_by("A"), "A": {}, "D": other})
    assert set(ended) == {*"ABCD"}
    assert ended.index("A") < ended.index("B") < ended.index("C")
    assert awaited_by == {"A": 0, "D": 0, "B": 1, "C": 2}
    with pytest.raises(UserError, match="None of these can be trained first"):
        train({"A": taught_by("B"), "B": taught_by("A")})


def test_titles_that_are_missing_are_told_before_the_trainings(tmp_path):
    given = {"systems": {"A": {}}, "references": ["A"], "titles": str(tmp_path / "none.csv")}
    folders = {"runs": str(tmp_path / "runs"), "out": str(tmp_path / "report")}
    with pytest.raises(UserError, match="none.csv cannot be read"):
        command.compare(ComparisonSettings(DEFAULT, **given, **folders), "c.yaml")
    assert not list(tmp_path.iterdir())


def test_values_that_are_close_are_several_trainings():
    values = [0.00123456, 0.001234561]
    varied = {"A": {"training.learning_rate": values}}
    settings = ComparisonSettings(DEFAULT, {"A": {}}, references=["A"], sensitivity=varied, seeds=1)
    plan = make_plan(settings, "c.yaml")
    assert [e.settings.training.learning_rate for e in plan.entries[1:]] == values


def test_the_sensitivity_to_a_setting_that_is_null_by_default():
    varied = {"A": {"training.second_learning_rate": [0.5]}}
    settings = ComparisonSettings(DEFAULT, {"A": {}}, references=["A"], sensitivity=varied, seeds=1)
    ((entry,),) = make_plan(settings, "c.yaml").sensitivity.values()
    assert entry.settings.training.second_learning_rate == 0.5


def test_whose_first_phase_is_another_training():
    systems = {
        "C": {"model": {"system": "comirec"}},
        "T": {"training": {"second_learning_rate": 5e-4}},
        "U": {"training": {"learning_rate": 5e-4}},
    }
    plan = make_plan(ComparisonSettings(DEFAULT, systems, references=["T"], seeds=1), "c.yaml")
    comirec, timirec, other = plan.systems
    assert first_of(timirec, plan.entries) is comirec
    assert first_of(other, plan.entries) is None and first_of(comirec, plan.entries) is None


def test_the_plan_of_each_shipped_configuration():
    for path in sorted((ROOT / "configs").glob("compare_*.yaml")):
        values = yaml.safe_load(path.read_text())
        values["base"] = settings_from(values["base"], str(path))
        seeds = values.get("seeds", 3)
        plan = make_plan(ComparisonSettings(**values), str(path))
        assert len(plan.systems) == seeds * len(values["systems"])
        assert len(plan.ablations) == seeds * len(values.get("ablations", {}))
        if path.stem in ("compare_beauty", "compare_ml-100k", "compare_ml-1m"):
            compared = {entry.settings.model.system for entry in plan.systems}
            # MovieLens-1M at hand has no times, and one ablation more than the paper.
            of_1m = path.stem == "compare_ml-1m"
            assert compared == OF_THE_PAPER - ({"tisasrec"} if of_1m else set())
            assert len(plan.ablations) == (12 if of_1m else 9)


@pytest.mark.long
def test_a_failed_training_is_told_with_its_last_line(config, tmp_path):
    values = yaml.safe_load(config.read_text())
    values |= {"runs": str(tmp_path / "runs"), "ablations": {}, "sensitivity": {}}
    values["base"]["data"]["source"] = str(tmp_path / "absent.csv")
    path = tmp_path / "broken.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    failed = compare(path)
    _, errors = failed.communicate(timeout=PATIENCE)
    assert failed.returncode == 2
    assert "failed: error: " in errors and "absent.csv" in errors


def test_a_training_that_begins_while_the_comparison_stops_ends_at_once(tmp_path):
    settings = ComparisonSettings(DEFAULT, {"A": {}}, references=["A"], seeds=1, runs=str(tmp_path))
    (entry,) = make_plan(settings, "c.yaml").systems
    stopping, shares = Event(), SimpleQueue()
    stopping.set()
    shares.put(set())
    with pytest.raises(UserError, match="A-0 failed: SIGTERM ended it"):
        _train(entry, None, [], [], stopping, shares)


def test_a_system_takes_of_the_shared_settings_those_that_it_has():
    base = settings_named("timirec", {"num_interests": 2, "dropout": 0.5, "temperature": 3.0})
    systems = {name: {"model": {"system": name}} for name in ("gru4rec", "sasrec", "mind")}
    plan = make_plan(ComparisonSettings(base, systems, references=["mind"], seeds=1), "c.yaml")
    of = {entry.name: entry.settings.model for entry in plan.systems}
    assert of["mind"].num_interests == 2 and of["sasrec"].dropout == 0.5
    assert not hasattr(of["gru4rec"], "dropout") and not hasattr(of["mind"], "temperature")
    systems["gru4rec"]["model"]["dropout"] = 0.5
    with pytest.raises(UserError, match=r"model\.dropout is 0\.5, but the system gru4rec"):
        make_plan(ComparisonSettings(base, systems, references=["mind"]), "c.yaml")
