"""A user's mistake is one sentence and exit code 2, and leaves nothing half-written."""

import math
import shutil
import sys

import numpy as np
import pytest

from tfrs_timirec import compare, evaluate, train
from tfrs_timirec.training.step import TrainingStep


@pytest.fixture
def fails(monkeypatch, capsys):
    """Runs a command, expects exit code 2, and returns the sentence."""

    def fails(command, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["command", *arguments])
        with pytest.raises(SystemExit) as exit_:
            command.main()
        assert exit_.value.code == 2
        return capsys.readouterr().err

    return fails


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--model.num_interests=0", "num_interests"),
        ("--model.temperature=0", "temperature"),
        ("--model.temperature=-1", "temperature"),
        ("--model.history_length=0", "history_length"),
        ("--model.predictor_dropout=1", "predictor_dropout"),
        ("--evaluation.metric=AUC", "metric"),
        ("--evaluation.metric=HR@0", "metric"),
        ("--model.interests=3", "interests"),
        ("--config=none.yaml", "none.yaml"),
    ],
)
def test_settings(fails, arguments, tmp_path, argument, said):
    assert said in fails(train, *arguments, argument, f"--run={tmp_path / 'run'}")
    assert not (tmp_path / "run").exists()


def test_unknown_key_in_a_config(fails, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("model:\n  interests: 3\n")
    assert "interests" in fails(train, f"--config={config}")
    # A section may be empty.
    config.write_text("model:\ndata:\n  source: none.csv\n")
    assert "No file is at none.csv" in fails(train, f"--config={config}")
    config.write_text("systems: {}\n")
    assert f"{config} has systems, which" in fails(train, f"--config={config}")


def test_a_configuration_of_another_command(fails):
    assert "compare_synthetic.yaml has references, which" in fails(
        train, "--config=compare_synthetic"
    )
    assert "beauty.yaml has data, which" in fails(compare, "--config=beauty")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No file is at"),
        ("user_id,item_id,timestamp\n", "holds no interactions"),
        ("user_id,thing,timestamp\n1,2,3\n", "item_id"),
        ("user_id,item_id,timestamp\n1,,3\n", "Row 1 of"),
        ("user_id,item_id,timestamp\n1,2,soon\n", "'soon'"),
        ("user_id,item_id,timestamp\n1,2,3\n", "lower data.core"),
    ],
)
def test_log(fails, arguments, tmp_path, text, said):
    path = tmp_path / "bad.csv"
    if text is not None:
        path.write_text(text)
    errors = fails(train, *arguments, f"--data.source={path}", f"--run={tmp_path / 'run'}")
    assert said in errors and (str(path) in errors or said == "lower data.core")
    assert errors.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_log_without_times_for_a_system_that_needs_them(fails, arguments, tmp_path):
    of_timirec = ("--model.predictor", "--model.num_interests")
    arguments = [a for a in arguments if not a.startswith(of_timirec)]
    arguments += ["--model.system=tisasrec"]
    run = f"--run={tmp_path / 'run'}"
    errors = fails(train, *arguments, "--data.time_column=null", run)
    assert "tisasrec needs times" in errors and "set data.time_column" in errors
    assert errors.count("\n") == 1
    path = tmp_path / "sequences.txt"
    path.write_text("".join(f"{user} 1 2 3 4 5\n" for user in range(9)))
    assert "tisasrec needs times" in fails(train, *arguments, f"--data.source={path}", run)
    assert not (tmp_path / "run").exists()


def test_a_setting_that_the_system_does_not_have(fails, arguments, tmp_path):
    run = f"--run={tmp_path / 'run'}"
    errors = fails(train, *arguments, "--model.system=gru4rec", run)
    assert "the system gru4rec has no such setting" in errors
    assert errors.count("\n") == 1
    assert "system" in fails(train, *arguments, "--model.system=caser", run)
    assert not (tmp_path / "run").exists()


def test_a_log_too_short_to_train_on(fails, arguments, tmp_path):
    path = tmp_path / "short.csv"
    lines = [f"{user},{item},{item}\n" for user in range(9) for item in range(3)]
    path.write_text("user_id,item_id,timestamp\n" + "".join(lines))
    errors = fails(
        train,
        *arguments,
        "--data.core=1",
        f"--data.source={path}",
        f"--run={tmp_path / 'run'}",
    )
    assert "nothing to train on" in errors


@pytest.fixture
def run(systems, tmp_path):
    """A copy of a trained run folder, and the arguments that made it."""
    folder = tmp_path / "run"
    trained = systems["timirec"]
    shutil.copytree(trained.run, folder)
    arguments = [a for a in trained.flags if not a.startswith("--run")]
    return folder, [*arguments, f"--run={folder}"]


def test_runs(fails, run, log):
    folder, arguments = run
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert "add --resume" in fails(train, *arguments)
    errors = fails(train, *arguments, "--resume", "--model.num_interests=3")
    assert "another configuration: model.num_interests is 4 there and 3 here" in errors
    assert "is no run folder" in fails(train, *arguments, f"--run={log.parent}")
    assert "is not a saved recommender" in fails(evaluate, str(log.parent))
    assert files == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    best = folder / "checkpoints" / "phase2.npz"
    content = bytearray(best.read_bytes())
    content[len(content) // 2] ^= 255
    best.write_bytes(content)
    assert "phase2.npz is damaged" in fails(train, *arguments, "--resume")
    best.unlink()
    assert "train the run first" in fails(train, *arguments, "--resume")

    latest = folder / "checkpoints" / "latest.npz"
    latest.write_bytes(latest.read_bytes()[:100])
    assert "latest.npz is damaged" in fails(train, *arguments, "--resume")

    (folder / "settings.yaml").write_text("model: [")
    assert "settings.yaml is damaged" in fails(train, *arguments, "--resume")


def test_a_run_whose_model_is_damaged_or_missing(fails, run):
    folder, _ = run
    tower = folder / "model" / "user_tower.keras"
    content = bytearray(tower.read_bytes())
    content[len(content) // 2] ^= 255
    tower.write_bytes(content)
    assert "user_tower.keras is missing or damaged" in fails(evaluate, str(folder))
    tower.unlink()
    assert "user_tower.keras is missing or damaged" in fails(evaluate, str(folder))
    shutil.rmtree(folder / "model")
    errors = fails(evaluate, str(folder))
    assert f"{folder} has not finished training" in errors and "--resume" in errors
    assert errors.count("\n") == 1


def test_another_log_under_the_same_name(fails, run, systems, monkeypatch, capsys):
    folder, arguments = run
    log = systems.folder / "log.csv"
    lines = log.read_text().splitlines(keepends=True)
    try:
        log.write_text("".join(lines[:-13]))
        assert "The log has changed" in fails(train, *arguments, "--resume")
        monkeypatch.setattr(sys, "argv", ["command", str(folder)])
        evaluate.main()
        assert "TiMiRec" in capsys.readouterr().out
    finally:
        log.write_text("".join(lines))


@pytest.mark.parametrize(
    ("flags", "rate"),
    [
        ([], "training.learning_rate"),
        pytest.param(
            ["--training.max_epochs=1", "--training.second_learning_rate=0.001"],
            "training.second_learning_rate",
            marks=pytest.mark.long,
        ),
    ],
)
def test_nan_loss_keeps_the_last_good_checkpoint(
    fails, arguments, tmp_path, monkeypatch, flags, rate
):
    run = tmp_path / "run"
    step, losses = TrainingStep.train, []

    def broken(self, inputs):
        losses.append(step(self, inputs))
        # In the second epoch, or in the second phase where the first has one.
        return losses[-1] if len(losses) < 80 else (math.nan, 1)

    monkeypatch.setattr(TrainingStep, "train", broken)
    errors = fails(train, *arguments, *flags, f"--run={run}")
    assert "The loss is " in errors and "step" in errors and f"lower {rate};" in errors
    saved = list((run / "checkpoints").glob("*.npz"))
    assert len(saved) == 2
    for path in saved:
        with np.load(path) as arrays:
            assert all(np.isfinite(arrays[name]).all() for name in arrays.files)
