"""Training: interrupted, watched, silent, in a thread, and failing."""

import json
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests import processes
from tfrs_timirec import Recommender, UserError


@pytest.fixture
def settings(tiny):
    return {**tiny, "system": "comirec", "num_interests": 2, "max_epochs": 3}


def weights(model) -> dict[str, bytes]:
    return {name: np.array(value.value).tobytes() for name, value in model.system.state.items()}


def test_an_interrupted_run_goes_on_to_the_same_weights(
    frame, columns, settings, eagerly, tmp_path
):
    log = tmp_path / "log.csv"
    frame.to_csv(log, index=False)
    settings |= {f"{role}_column": name for role, name in columns.items()}
    settings["folder"] = str(tmp_path / "data")
    script = Path(__file__).with_name("fit_run.py")
    run = tmp_path / "run"
    done = processes.run([script, log, run, json.dumps(settings), 2])
    assert done.returncode == 1 and "told: Stopped after 2 rows" in done.stderr, done.stderr
    assert not (run / "model").exists()
    with pytest.raises(UserError, match="has not finished training"):
        Recommender.load(run)

    rows, all_rows = [], []
    with eagerly():
        with pytest.raises(UserError, match="exists: add --resume"):
            Recommender(**settings).fit(log, run=run, resume=False, silent=True)
        resumed = Recommender(**settings).fit(log, run=run, callback=rows.append, silent=True)
        undisturbed = Recommender(**settings).fit(log, callback=all_rows.append, silent=True)
    assert [row["epoch"] for row in rows] == [3]
    assert [row["epoch"] for row in all_rows] == [1, 2, 3]
    assert weights(resumed) == weights(undisturbed)
    assert resumed.metrics == undisturbed.metrics
    assert json.loads((run / "metrics.json").read_text()) == resumed.metrics
    assert weights(Recommender.load(run)) == weights(resumed)


def test_a_callback_gets_a_row_for_each_epoch_and_silence_is_silent(
    frame, columns, settings, eagerly, capsys
):
    rows = []
    with eagerly():
        model = Recommender(**settings)
        model.fit(frame, **columns, callback=rows.append, silent=True)
    assert [(row["phase"], row["epoch"]) for row in rows] == [(1, 1), (1, 2), (1, 3)]
    for row in rows:
        assert {"loss", "metric", "instances_per_second"} < row.keys()
        assert np.isfinite(row["loss"]) and 0 <= row["metric"] <= 1
    assert model.epochs == [1 + int(np.argmax([row["metric"] for row in rows]))]
    assert capsys.readouterr() == ("", "")


@pytest.mark.long
def test_a_run_says_what_it_does_unless_silent(frame, columns, settings, eagerly, capsys, tmp_path):
    settings |= {"system": "timirec", "patience": 1, "negatives": 35}
    with eagerly():
        Recommender(**settings).fit(frame, **columns, run=tmp_path / "run")
    told = capsys.readouterr().out
    assert f"{len(frame):,} interactions of " in told and f"Run folder: {tmp_path}/run" in told
    # Each has had 10 of the 40 items.
    assert told.count("For 60 of 60 users there are fewer than 35 negatives") == 1
    assert "all the items that they never touched, 30 at least." in told
    assert "Phase 1 of 2: ComiRec learns the vectors of users and items." in told
    assert "Phase 2 of 2: TiMiRec learns to predict the interest that drives" in told
    assert "phase 1 epoch 1: loss" in told
    assert "Phase 2 stopped after " in told
    assert "training.patience (1) epochs without" in told or "training.max_epochs (3)" in told


def test_a_thread_that_is_not_the_main_one(frame, columns, settings, eagerly):
    fitted = []

    def fit():
        fitted.append(Recommender(**settings).fit(frame, **columns, silent=True))

    with eagerly():
        thread = threading.Thread(target=fit)
        thread.start()
        thread.join()
    assert len(fitted[0].recommend(users=["c-1"], k=5)) == 5


class Broken(Exception):
    pass


def broken(row):
    raise Broken


@pytest.mark.parametrize("what", ["fit", "update", "refit"])
def test_a_training_that_fails_leaves_what_was_there(frame, newer, columns, saved, eagerly, what):
    model = Recommender.load(saved)
    asked = {"users": ["c-1", "c-2"], "k": 5}
    before, attributes = model.recommend(**asked), dict(model.__dict__)
    logs = {"fit": (newer,), "update": (newer,), "refit": ()}
    named = columns if what == "fit" else {}
    with eagerly(), pytest.raises(Broken):
        getattr(model, what)(*logs[what], **named, callback=broken, silent=True)
    assert model.__dict__ == attributes
    pd.testing.assert_frame_equal(model.recommend(**asked), before)


def test_an_untrained_one_that_fails_to_fit_is_untrained(frame, columns, settings, eagerly):
    model = Recommender(**settings)
    with eagerly(), pytest.raises(Broken):
        model.fit(frame, **columns, callback=broken, silent=True)
    with pytest.raises(UserError, match="call fit first"):
        model.recommend(users=["c-1"])
    with eagerly():
        model.fit(frame, **columns, silent=True)
    assert len(model.recommend(users=["c-1"], k=5)) == 5
