"""Measures the time to a validation metric: this package's SASRec beside RecTools'.

python -m benchmarks.sasrec FOLDER [--source beauty.csv] [--epochs 20] [--systems '[sasrec]']

FOLDER gets an environment of its own with RecTools and PyTorch, once; the two never share a
process, nor the machine: one trains after the other. Both have the same sequences, as many blocks
(`sasrec` has one), one head, D 64, L 20, dropout 0.2, Adam at 0.001 and a sampled softmax: of
RecTools with as many negatives a target as asked for, here with those of the batch. Both are asked
after each epoch for the 10 items that come next for each user, out of the whole catalogue less the
user's history; the time for that does not count, and that of compiling does.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from jsonargparse import auto_cli
from rich.console import Console
from rich.table import Table

from tfrs_timirec.errors import run_command

PACKAGES = ("rectools[torch]==0.19.0", "torch==2.13.0")
D, LENGTH, DROPOUT, RATE, K = 64, 20, 0.2, 1e-3, 10
# What trains RecTools' model and prints a line of JSON after each epoch.
_THEIRS = """
import json, sys, time, warnings
import pandas as pd
warnings.filterwarnings("ignore")
from rectools.dataset import Dataset
from rectools.models import SASRecModel
folder, settings, epochs, least = sys.argv[1], json.loads(sys.argv[2]), *map(float, sys.argv[3:])
log = pd.read_csv(f"{folder}/training.csv")
log["datetime"] = pd.to_datetime(log["datetime"], unit="s")
targets = pd.read_csv(f"{folder}/validation.csv")
dataset = Dataset.construct(log)
model = SASRecModel(**settings)
length = settings["session_max_len"]
trained = (log.groupby("user_id").size() - 1).clip(upper=length).sum()
seconds, found = 0.0, 0.0
for epoch in range(1, int(epochs) + 1):
    began = time.perf_counter()
    model.fit_partial(dataset, min_epochs=1, max_epochs=1)
    seconds += time.perf_counter() - began
    best = model.recommend(targets["user_id"].unique(), dataset, k=10, filter_viewed=True)
    found = len(best.merge(targets, on=["user_id", "item_id"])) / len(targets)
    print(json.dumps({"epoch": epoch, "seconds": seconds, "targets": int(trained) * epoch,
                      "metric": found}), flush=True)
    if found >= least:
        break
"""


def main(
    folder: Path,
    source: str = "beauty",
    systems: list[str] = ["sasrec"],  # noqa: B006
    blocks: int = 1,
    epochs: int = 20,
    negatives: int = 64,
    sequences: int = 128,
    targets: int = 1024,
    least: float = 1.0,
) -> None:
    """Trains both and prints a table.

    Args:
        folder: Of the environment, the sequences and what both printed.
        source: The log, as `data.source`.
        systems: Of this package.
        blocks: Of RecTools' model, and of systems that have such a setting.
        epochs: Of each.
        negatives: RecTools' negatives a target.
        sequences: RecTools' sequences a batch.
        targets: Targets a batch here.
        least: The metric at which a training ends.
    """
    training = {"source": source, "batch_size": targets, "learning_rate": RATE}
    shape = {"embedding_size": D, "history_length": LENGTH, "dropout": DROPOUT}
    named = {**training, **shape, "objective": "sampled_softmax"}
    theirs = {
        **{"n_blocks": blocks, "n_heads": 1, "n_factors": D, "session_max_len": LENGTH},
        **{"dropout_rate": DROPOUT, "lr": RATE, "batch_size": sequences},
        **{"loss": "sampled_softmax", "n_negatives": negatives, "epochs": 1},
    }
    run_command(lambda: measure(folder, systems, blocks, named, theirs, epochs, least))


def measure(folder, systems, blocks, named, settings, epochs, least) -> None:
    from tfrs_timirec.models.systems import systems_with

    folder.mkdir(parents=True, exist_ok=True)
    python = folder / "env" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder / "env"], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    curves = {}
    for system in systems:
        own = {"blocks": blocks} if system in systems_with("blocks") else {}
        for unit in ("instance", "user"):
            name = f"{system} by {unit}"
            rows = ours(folder, system, {**named, **own, "unit": unit}, epochs, least)
            curves[name] = [shown(name, row) for row in rows]
    told = [str(folder), json.dumps(settings), str(epochs), str(least)]
    theirs = subprocess.Popen([python, "-c", _THEIRS, *told], stdout=subprocess.PIPE, text=True)
    lines = (line for line in theirs.stdout if line.startswith("{"))
    curves["RecTools"] = [shown("RecTools", json.loads(line)) for line in lines]
    if theirs.wait():
        raise SystemExit(f"RecTools' training ended with {theirs.returncode}.")
    (folder / "curves.json").write_text(json.dumps(curves, indent=1))
    both = min(max(row["metric"] for row in curve) for curve in curves.values())
    reach = f"seconds to {both:.4f}", "epochs to it"
    table = Table("", "targets/s", f"best HR@{K}", "epochs", *reach)
    for name, curve in curves.items():
        last, reached = curve[-1], next(row for row in curve if row["metric"] >= both)
        table.add_row(
            name,
            f"{last['targets'] / last['seconds']:,.0f}",
            f"{max(row['metric'] for row in curve):.4f}",
            *(str(last["epoch"]), f"{reached['seconds']:.1f}", str(reached["epoch"])),
        )
    Console().print(table)


def ours(folder: Path, system: str, named: dict, epochs: int, least: float) -> Iterator[dict]:
    """Trains a system of this package; a row after each epoch. It leaves the sequences."""
    import tensorflow as tf

    from tfrs_timirec import data
    from tfrs_timirec.config import settings_named
    from tfrs_timirec.data.task import Task
    from tfrs_timirec.evaluation.metrics import metric
    from tfrs_timirec.evaluation.ranking import Ranker
    from tfrs_timirec.models.systems import SYSTEMS
    from tfrs_timirec.training.ahead import ahead
    from tfrs_timirec.training.loop import BATCHES_AHEAD
    from tfrs_timirec.training.step import STEPS
    from tfrs_timirec.training.workers import ALONE

    tf.get_logger().setLevel("ERROR")
    settings = settings_named(system, named)
    size = settings.training.batch_size
    store = data.load(settings.data, settings.seed)
    task = Task.of(store, settings, reads_times=False)
    model = SYSTEMS[system].create(store.num_items, settings.model, 0.01, settings.seed)
    step = STEPS["adam"](model, settings.training, task.num_batches(size), ALONE)
    ranker = Ranker(model)
    write(task, folder)
    seconds, trained = 0.0, 0
    for epoch in range(1, epochs + 1):
        began = time.perf_counter()
        batches = task.batches(size, np.random.default_rng([0, epoch]))
        for inputs in ahead(map(step.prepared, batches), BATCHES_AHEAD):
            trained += step.train(inputs)[1]
        seconds += time.perf_counter() - began
        ranks = ranker.ranks(task.validation, None)
        found = float(metric(f"HR@{K}", ranks, task.validation.users).mean())
        row = {"epoch": epoch, "seconds": seconds, "targets": trained, "metric": found}
        yield row
        if found >= least:
            break


def write(task, folder: Path) -> None:
    """The training parts and the validation targets, by the indices of users and items."""
    store = task.store
    places = np.arange(len(store.items))
    training = places < task.split.training_end[store.owners]
    log = {"user_id": store.owners, "item_id": store.items, "datetime": places, "weight": 1}
    pd.DataFrame(log)[training].to_csv(folder / "training.csv", index=False)
    validation = {"user_id": task.validation.users, "item_id": task.validation.positives}
    pd.DataFrame(validation).to_csv(folder / "validation.csv", index=False)


def shown(name: str, row: dict) -> dict:
    print(name, json.dumps(row), flush=True)
    return row


if __name__ == "__main__":
    auto_cli(main, as_positional=True)
