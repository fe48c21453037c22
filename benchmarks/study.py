"""Searches a training recipe on the validation split with Optuna; test metrics are not read.

python -m benchmarks.study --config configs/beauty_best.yaml --runs runs/study [any flag of
the training]

Each trial is a training in a process of its own, in a folder under --runs, where the study is kept
too: the same command again goes on with it. A trial that does worse than most did at its epoch is
stopped. The best recipe is printed at the end.
"""

import csv
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import optuna
import yaml
from jsonargparse.typing import PositiveInt
from rich.console import Console
from rich.table import Table

from tfrs_timirec.config import Settings, settings_of, settings_parser
from tfrs_timirec.errors import UserError, run_command

FIRST = {
    "training.learning_rate": 1e-3,
    "training.batch_size": 1024,
    "training.schedule": "constant",
    "model.dropout": 0.4,
    "model.objective": "sampled_softmax",
    "model.label_smoothing": 0.0,
}


def main() -> None:
    run_command(_main)


def _main() -> None:
    parser = settings_parser(sys.argv[1:], prog="python -m benchmarks.study", description=__doc__)
    parser.add_argument("--runs", type=Path, required=True, help="The folder of the trials.")
    parser.add_argument("--trials", type=PositiveInt, default=20, help="Trials to have in the end.")
    parsed = parser.parse_args()
    runs, trials = parsed.pop("runs"), parsed.pop("trials")
    # A SIGTERM too ends the training under way, instead of leaving it behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    search(settings_of(parsed), runs, int(trials))


def search(settings: Settings, runs: Path, trials: int) -> None:
    """Runs the trials that a study lacks and prints all of them, the best first.

    Args:
        settings: What no trial changes.
        runs: The folder of the trials.
        trials: How many the study is to have.
    """
    runs.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=f"sqlite:///{runs / 'study.db'}",
        study_name="recipe",
        sampler=optuna.samplers.TPESampler(seed=settings.seed, n_startup_trials=4),
        pruner=optuna.pruners.PercentilePruner(50, n_startup_trials=2, n_warmup_steps=6),
        direction="maximize",
        load_if_exists=True,
    )
    study.enqueue_trial(FIRST, skip_if_exists=True)
    # What was interrupted or failed is tried again.
    done = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    left = trials - len(study.get_trials(deepcopy=False, states=done))
    study.optimize(lambda trial: _train(trial, settings, runs), n_trials=max(0, left))
    _print(study, settings.evaluation.metric)


def _recipe(trial: optuna.Trial, system: str) -> dict[str, str | float | int]:
    """The settings of a trial, as flags of the training."""
    recipe = {
        "training.learning_rate": trial.suggest_float(
            "training.learning_rate", 3e-4, 3e-3, log=True
        ),
        "training.batch_size": trial.suggest_categorical("training.batch_size", [512, 1024, 2048]),
        "training.schedule": trial.suggest_categorical("training.schedule", ["constant", "cosine"]),
        "model.dropout": trial.suggest_float("model.dropout", 0.2, 0.7),
        "model.objective": trial.suggest_categorical(
            "model.objective", ["sampled_softmax", "gbce"]
        ),
    }
    if recipe["model.objective"] == "gbce":
        recipe["model.calibration"] = trial.suggest_float("model.calibration", 0.5, 1)
    else:
        recipe["model.label_smoothing"] = trial.suggest_float("model.label_smoothing", 0, 0.2)
    if system == "timirec":
        recipe["model.temperature"] = trial.suggest_float("model.temperature", 0.05, 2, log=True)
    return recipe


def _train(trial: optuna.Trial, settings: Settings, runs: Path) -> float:
    """Trains a trial's recipe; its best validation metric in the last phase it came to."""
    folder = runs / str(trial.number)
    shutil.rmtree(folder, ignore_errors=True)
    config = runs / f"{trial.number}.yaml"
    values = asdict(settings)
    for name in ("label_smoothing", "calibration"):
        # Of the trial, if its objective has it.
        values["model"].pop(name, None)
    config.write_text(yaml.safe_dump(values, sort_keys=False))
    flags = [f"--{k}={v}" for k, v in _recipe(trial, settings.model.system).items()]
    command = [sys.executable, "-m", "tfrs_timirec.train", "--config", str(config), *flags]
    with open(runs / f"{trial.number}.log", "w") as log:
        process = subprocess.Popen(
            [*command, "--run", str(folder)], stdout=log, stderr=subprocess.STDOUT
        )
        try:
            told = 0
            while process.poll() is None:
                time.sleep(1)
                rows = _epochs(folder)
                for step in range(told, len(rows)):
                    trial.report(float(rows[step]["metric"]), step)
                told = len(rows)
                if trial.should_prune():
                    raise optuna.TrialPruned
        finally:
            process.terminate()
            process.wait()
    rows = _epochs(folder)
    if process.returncode or not rows:
        raise UserError(f"The training of {folder} failed; its output is {log.name}.")
    return max(float(row["metric"]) for row in rows if row["phase"] == rows[-1]["phase"])


def _epochs(folder: Path) -> list[dict[str, str]]:
    """The log of a run, a row an epoch; empty before the first."""
    try:
        with open(folder / "log.csv") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        return []


def _print(study: optuna.Study, metric: str) -> None:
    names = list(dict.fromkeys(name for trial in study.trials for name in trial.params))
    table = Table("trial", metric, "state", *(name.partition(".")[2] for name in names))
    for trial in sorted(study.trials, key=lambda t: -(t.value or 0)):
        values = [trial.params.get(name, "") for name in names]
        cells = [f"{v:.3g}" if isinstance(v, float) else str(v) for v in values]
        table.add_row(str(trial.number), f"{trial.value or 0:.4f}", trial.state.name, *cells)
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
