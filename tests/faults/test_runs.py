"""What a run folder stands, what may change when it goes on, and what it is called."""

import errno
import json
import os
import resource
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tfrs_timirec import Recommender, UserError, memory, train
from tfrs_timirec.comparison import results
from tfrs_timirec.comparison.settings import Entry
from tfrs_timirec.config import settings_named
from tfrs_timirec.errors import Stopped
from tfrs_timirec.export import extras, publish
from tfrs_timirec.files import locked
from tfrs_timirec.shards import write_shards
from tfrs_timirec.training.loop import Training
from tfrs_timirec.training.run import Run

TINY = {
    "system": "youtube_dnn",
    "embedding_size": 8,
    "history_length": 3,
    "batch_size": 64,
    "max_epochs": 1,
    "negatives": 5,
    "core": 1,
}


@pytest.fixture
def frame() -> pd.DataFrame:
    """40 users with 8 of 20 items each."""
    rng = np.random.default_rng(0)
    rows = [(u, i, t) for u in range(40) for t, i in enumerate(rng.permutation(20)[:8])]
    return pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])


@pytest.fixture
def fit(eagerly):
    """Fits without compiling anything."""

    def fit(log, run=None, **settings) -> Recommender:
        with eagerly():
            return Recommender(**{**TINY, **settings}).fit(log, run=run, silent=True)

    return fit


def log_of(run: Path) -> list[list[float]]:
    return pd.read_csv(run / "log.csv")[["phase", "epoch", "loss", "metric"]].values.tolist()


@pytest.mark.long
def test_a_finished_run_goes_on_for_more_epochs_as_if_it_had_had_them(frame, fit, tmp_path):
    fit(frame, tmp_path / "run", max_epochs=2)
    with pytest.raises(UserError, match="max_epochs is 2 there and 1 here"):
        fit(frame, tmp_path / "run", max_epochs=1)
    longer = fit(frame, tmp_path / "run", max_epochs=4)
    whole = fit(frame, tmp_path / "whole", max_epochs=4)
    np.testing.assert_array_equal(longer.item_vectors(), whole.item_vectors())
    assert longer.metrics == whole.metrics
    assert log_of(tmp_path / "run") == log_of(tmp_path / "whole")
    names = [
        {p.relative_to(r) for p in r.rglob("*")} for r in (tmp_path / "run", tmp_path / "whole")
    ]
    assert names[0] == names[1]
    assert Run(tmp_path / "run").settings().training.max_epochs == 4


def test_a_run_whose_learning_rate_hangs_on_its_epochs_does_not_go_on(frame, fit, tmp_path):
    fit(frame, tmp_path / "run", schedule="cosine")
    with pytest.raises(UserError, match="max_epochs is 1 there and 2 here"):
        fit(frame, tmp_path / "run", schedule="cosine", max_epochs=2)


@pytest.mark.parametrize(
    "left", [[], ["checkpoints/"], ["environment.json"], [".settings.yaml.part", "checkpoints/"]]
)
def test_a_folder_with_nothing_but_beginnings_is_a_beginning(frame, fit, tmp_path, left):
    (tmp_path / "run").mkdir()
    for name in left:
        path = tmp_path / "run" / name
        path.mkdir() if name.endswith("/") else path.write_text("{")
    fit(frame, tmp_path / "run", system="popularity", embedding_size=64)
    assert (tmp_path / "run" / "metrics.json").exists()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").touch()
    with pytest.raises(UserError, match="is no run folder"):
        fit(frame, tmp_path / "thesis")


def test_the_log_follows_from_the_checkpoint(frame, fit, tmp_path):
    fit(frame, tmp_path / "run", max_epochs=2)
    expected = log_of(tmp_path / "run")
    events = sorted((tmp_path / "run" / "tensorboard").rglob("events*"))
    assert len(events) == 2
    (tmp_path / "run" / "log.csv").unlink()
    events[1].unlink()
    fit(frame, tmp_path / "run", max_epochs=2)
    assert log_of(tmp_path / "run") == expected
    assert sorted((tmp_path / "run" / "tensorboard").rglob("events*")) == events


def test_the_checkpoint_comes_before_the_line(frame, fit, tmp_path, eagerly, monkeypatch):
    class Full:
        encoding = "utf-8"

        def write(self, text):
            if "epoch 1: loss" in text:
                raise OSError(errno.ENOSPC, "No space left on device")

        def flush(self):
            pass

    monkeypatch.setattr(sys, "stdout", Full())
    with eagerly(), pytest.raises(OSError):
        Recommender(**TINY).fit(frame, run=tmp_path / "run")
    monkeypatch.undo()
    assert len(log_of(tmp_path / "run")) == 1
    fit(frame, tmp_path / "run")


def test_what_tensorboard_reads(frame, fit, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fit(frame, tmp_path / "run", max_epochs=3)
    read = EventAccumulator(str(tmp_path / "run" / "tensorboard" / "phase1"))
    read.Reload()
    rows = pd.read_csv(tmp_path / "run" / "log.csv")
    found = [(e.step, e.tensor_proto.float_val[0]) for e in read.Tensors("loss")]
    assert [step for step, _ in found] == [1, 2, 3]
    np.testing.assert_allclose([loss for _, loss in found], rows["loss"], rtol=1e-6)


def test_one_training_a_folder(frame, fit, tmp_path):
    with locked(tmp_path / "run"), pytest.raises(UserError, match="in use by another process"):
        fit(frame, tmp_path / "run")
    assert not list(tmp_path.iterdir())


WRONG = ["", "[]", "{}", "3", "null", '{"data": 3}', '{"data": "", "teachers": 3}', "\x00"]


@pytest.mark.parametrize("content", WRONG)
def test_an_environment_of_a_wrong_type(frame, fit, tmp_path, content):
    run = tmp_path / "run"
    popularity = {"system": "popularity", "embedding_size": 64}
    fit(frame, run, **popularity)
    (run / "environment.json").write_text(content)
    with pytest.raises(UserError, match="environment.json is missing|The log has changed"):
        fit(frame, run, **popularity)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("metrics.json", results.read_metrics),
        ("metrics.json", results.read_planted),
        ("metrics.json", results.read_lists),
        ("metrics.json", lambda entries: results.read_groups(entries, ["HR@10"])),
        ("metrics.json", lambda entries: results.read_interests(entries, "HR@10")),
        ("log.csv", results.read_logs),
        ("users.parquet", lambda entries: results.differences(entries, ["a"], ["HR@10"])),
    ],
)
@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", "3", '{"test": 3}', '{"test": {}}', '{"test": {"a": {"full": {"HR": "x"}}}}'),
        '{"test": {}, "lists": 3, "groups": 3, "interests": 3}',
        '{"test": {}, "lists": {"a": {"Gini": "x"}}, "groups": {"a": {}}, "interests": {"a": {}}}',
    ],
)
def test_results_of_a_wrong_type(tmp_path, name, read, content):
    (tmp_path / name).write_text(content)
    entries = [Entry("a", 0, settings_named("timirec", {}), tmp_path)]
    try:
        found = read(entries)
    except UserError as error:
        assert f"{name} is missing or damaged" in str(error) and "\n" not in str(error)
    else:
        # What not every run has.
        assert found.empty and name == "metrics.json" and read is not results.read_metrics


def log(tmp_path: Path, users: dict[str, list[int]]) -> Path:
    path = tmp_path / "log.csv"
    rows = [f"{u},{i},{t}\n" for u, items in users.items() for t, i in enumerate(items)]
    path.write_text("user_id,item_id,timestamp\n" + "".join(rows))
    return path


def test_nothing_to_train_on_leaves_no_run_folder(fit, tmp_path):
    short = log(tmp_path, {"a": [1, 2, 3], "b": [2, 3, 1]})
    with pytest.raises(UserError, match="nothing to train on"):
        fit(short, tmp_path / "run", folder=str(tmp_path / "data"))
    assert not (tmp_path / "run").exists()


def test_nobody_to_test_leaves_no_run_folder(fit, tmp_path):
    path = log(tmp_path, {"a": [*range(8)], "b": [*range(8)]})
    with open(path, "a") as file:
        file.writelines(f"new,{item},{9 + item}\n" for item in range(4))
    split = {"split": "temporal", "validation_from": "6", "test_from": "8"}
    with pytest.raises(UserError, match="nothing to test on"):
        fit(path, tmp_path / "run", folder=str(tmp_path / "data"), **split)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("objective", ["bpr", "sampled_softmax", "gbce", "softmax"])
def test_a_user_who_has_had_all_has_no_negative(fit, tmp_path, objective):
    users = {f"u{u}": [1 + (u + i) % 6 for i in range(5)] for u in range(20)}
    path = log(tmp_path, users | {"all": [1, 2, 3, 4, 5, 6, 1, 2]})
    model = fit(path, folder=str(tmp_path / "data"), objective=objective)
    assert np.isfinite(model.item_vectors()).all()


@pytest.mark.parametrize("items", [[1] * 6, [1, 2, 3, 1, 2, 3]], ids=["one item", "all items"])
def test_nobody_has_a_negative(fit, tmp_path, items):
    path = log(tmp_path, {f"u{u}": items for u in range(9)})
    with pytest.raises(UserError, match="each user has had all [13] of the catalogue"):
        fit(path, tmp_path / "run", folder=str(tmp_path / "data"))
    assert not (tmp_path / "run").exists()
    model = fit(path, folder=str(tmp_path / "data"), system="popularity", embedding_size=64)
    assert model.metrics["users"] == 9


def test_what_does_not_fit_into_memory_is_told(frame, fit, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"1,000,000 negatives for 40 users needs 0.1 GiB .* lower"):
        monkeypatch.setattr(memory, "available_memory", lambda: 10**8)
        fit(frame, tmp_path / "run", negatives=10**6)
    monkeypatch.setattr(memory, "available_memory", lambda: 10**4)
    with pytest.raises(
        UserError, match="catalogue of 20 items by adam needs .* lower model.embedding_size"
    ):
        fit(frame, tmp_path / "run", embedding_size=2**10)
    assert not (tmp_path / "run").exists()
    monkeypatch.undo()
    there = memory.available_memory()
    assert 2**20 < there < 2**60
    (tmp_path / "memory.max").write_text("1048576\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    (tmp_path / "memory.stat").write_text("anon 600000\ninactive_file 300000\n")
    group = (str(tmp_path), "memory.max", "memory.current", "inactive_file")
    monkeypatch.setattr(memory, "_CONTAINERS", [group])
    assert memory.available_memory() == 348_576
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_memory() > 2**20


@pytest.mark.long
def test_the_memory_that_is_needed_is_that_of_the_optimiser(frame, fit, monkeypatch):
    # 21 rows of 1,024 numbers, four times, three times and twice.
    for optimizer, rest in (("adam", "lazy_adam"), ("lazy_adam", "rowwise_adagrad")):
        there = {"adam": 4 * 21 * 2**12 - 1, "lazy_adam": 3 * 21 * 2**12 - 1}[optimizer]
        monkeypatch.setattr(memory, "available_memory", lambda there=there: there)
        with pytest.raises(UserError, match=f"catalogue of 20 items by {optimizer} needs"):
            fit(frame, embedding_size=2**10, optimizer=optimizer)
        fit(frame, embedding_size=2**10, optimizer=rest)


@pytest.mark.parametrize(
    ("source", "system", "config", "own", "name"),
    [
        ("synthetic", "timirec", "synthetic", "timirec", "synthetic-0"),
        ("synthetic", "gru4rec", "synthetic", "timirec", "synthetic-gru4rec-0"),
        ("beauty", "gru4rec", "my gru", "gru4rec", "my-gru-0"),
        ("synthetic", "timirec", None, None, "synthetic-timirec-0"),
        ("logs/*.parquet", "sasrec", None, None, "logs-sasrec-0"),
        ("logs/2024-*.csv", "sasrec", None, None, "2024-sasrec-0"),
        ("/data/our log (new)$.csv", "mind", None, None, "our-log-new-mind-0"),
        ("*", "mind", None, None, "log-mind-0"),
        ("-rf.csv", "mind", None, None, "rf-mind-0"),
        ("журнал.csv", "mind", None, None, "журнал-mind-0"),
    ],
)
def test_names_of_run_folders(source, system, config, own, name):
    settings = settings_named(system, {"source": source})
    assert train.run_name(settings, config, own) == name


def test_a_hint_that_can_be_pasted(tmp_path, monkeypatch):
    def stopped(*_):
        raise Stopped(15)

    source = str(tmp_path / "it's a *.csv")
    given = ["--data.source", source, f"--run={tmp_path / 'a run'}"]
    monkeypatch.setattr(sys, "argv", ["command", *given])
    monkeypatch.setattr(train, "train", stopped)
    with pytest.raises(Stopped, match="Interrupted. Continue with: ") as told:
        train._main()
    command = shlex.split(str(told.value).partition("Continue with: ")[2])
    assert command[1:] == ["-m", "tfrs_timirec.train", *given, "--resume"]
    assert told.value.number == 15


def test_exports_are_checked_before_the_training(tmp_path, monkeypatch):
    settings = settings_named("popularity", {})
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="not a folder of yours"):
        train.train(settings, tmp_path / "run", False, tmp_path / "file" / "models", 60)
    monkeypatch.setitem(sys.modules, "tensorflow_serving", None)
    with pytest.raises(
        UserError, match=r"tensorflow-serving-api is not installed: pip install '.*\[serving\]'"
    ):
        train.train(settings, tmp_path / "run", False, tmp_path / "models", 60)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_without_scann_there_is_exact_alone(monkeypatch):
    assert extras.models() == ["exact", "scann"] and not extras.told_of_models()
    monkeypatch.setitem(sys.modules, "scann", None)
    assert extras.models() == ["exact"]
    assert "scann is not installed: pip install" in extras.told_of_models()


def test_an_argument_that_is_not_in_utf_8(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["command", os.fsdecode(b"--data.source=caf\xe9.csv")])
    with pytest.raises(SystemExit) as exit_:
        train.main()
    assert exit_.value.code == 2
    told = capsys.readouterr().err
    assert "is not in UTF-8" in told and told.count("\n") == 1


def test_a_signal_in_the_last_validation_is_not_lost(frame, fit, tmp_path, monkeypatch):
    validate = Training._validate

    def and_stop(self, *arguments):
        os.kill(os.getpid(), 15)
        return validate(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_validate", and_stop)
        with pytest.raises(Stopped) as stopped:
            fit(frame, tmp_path / "run")
    assert stopped.value.number == 15
    assert not (tmp_path / "run" / "metrics.json").exists()
    fit(frame, tmp_path / "run")
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["users"] == 40


def test_what_a_killed_export_has_begun_to_rename_the_next_one_ends(tmp_path):
    parts = [tmp_path / name / ".3.part" for name in ("exact", "scann")]
    for renamed in (0, 1, 2):
        for part in parts:
            part.mkdir(parents=True)
            (part / "model_card.md").write_text("whole")
        names = [str(part.relative_to(tmp_path)) for part in parts]
        (tmp_path / ".publishing.json").write_text(json.dumps(names))
        for part in parts[:renamed]:
            part.rename(part.with_name("3"))
        (tmp_path / "exact" / ".4.part").mkdir()
        publish._repair(tmp_path)
        assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
            "exact",
            "exact/3",
            "exact/3/model_card.md",
            "scann",
            "scann/3",
            "scann/3/model_card.md",
        ]
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()


@pytest.mark.faults
@pytest.mark.parametrize("size", [0, 300, 3_000, 30_000])
def test_an_export_onto_a_full_disk(frame, fit, tmp_path, size):
    model = fit(frame, system="popularity", embedding_size=64)
    model.export(tmp_path / "models", k=2)
    before = {path for path in tmp_path.rglob("*")}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        with pytest.raises(UserError, match="models cannot be written .*intact") as error:
            model.export(tmp_path / "models", k=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(error.value)
    assert {path for path in tmp_path.rglob("*")} == before
    versions = model.export(tmp_path / "models", k=2)
    assert [path.name for path in versions] == ["2", "2"]


@pytest.mark.long
def test_one_export_a_folder(frame, fit, tmp_path):
    model = fit(frame, system="popularity", embedding_size=64)
    with locked(tmp_path / "models"), pytest.raises(UserError, match="in use by another process"):
        model.export(tmp_path / "models", k=2)


def test_one_recommend_a_folder(frame, fit, tmp_path):
    path = tmp_path / "log.csv"
    frame.to_csv(path, index=False)
    fit(path, folder=str(tmp_path / "data"), system="popularity", embedding_size=64).save(
        tmp_path / "model"
    )
    with locked(tmp_path / "recs"), pytest.raises(UserError, match="in use by another process"):
        write_shards(tmp_path / "model", tmp_path / "recs", 2)
    assert write_shards(tmp_path / "model", tmp_path / "recs", 2) == 40
    (tmp_path / "recs" / "_recommendations.json").write_text("{")
    with pytest.raises(UserError, match="_recommendations.json is damaged"):
        write_shards(tmp_path / "model", tmp_path / "recs", 2)
