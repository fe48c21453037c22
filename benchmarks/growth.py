"""How time and memory grow: with users, a log of them prepared and trained for an epoch; with
items, L and K, a training step of as many targets.

python -m benchmarks.growth [--rows 100000 1000000] [--items 12000 10000000] [--length] [...]

What an earlier run measured of other sizes stays in the picture; nothing after a flag measures
nothing of its kind.
"""

import argparse
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import matplotlib
import numpy as np

matplotlib.use("svg")
import matplotlib.pyplot as plt

from tfrs_timirec.errors import run_command

BATCH = 4096
ITEMS = 20_000
OPTIMIZERS = ("adam", "lazy_adam")
# More would take minutes and all of the memory.
MOST_DENSE = 10**6
_PREPARE = """
import json, sys
from tfrs_timirec.config import settings_named
from tfrs_timirec.data import load
from tfrs_timirec.data.task import Task
settings = settings_named("youtube_dnn", json.loads(sys.argv[1]))
store = load(settings.data, 0)
task = Task.of(store, settings, False)
print(json.dumps([store.num_users, store.num_items, len(store.items), task.num_training]))
"""


def main() -> None:
    run_command(_main)


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", nargs="*", type=int, default=[10**5, 10**6])
    parser.add_argument("--items", nargs="*", type=int, default=[12_000, 10**5, 10**6])
    parser.add_argument("--length", nargs="*", type=int, default=[5, 10, 20, 50, 100])
    parser.add_argument("--interests", nargs="*", type=int, default=[1, 2, 4, 8, 16])
    parser.add_argument("--minutes", type=float, help="after which a training is interrupted")
    parser.add_argument("--shard_size", type=int, default=20_000_000)
    parser.add_argument("--folder", help="of the logs, which are kept there")
    parser.add_argument("--out", type=Path, default=Path("docs/growth.json"))
    arguments = parser.parse_args()
    tables = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}

    def keep(name: str, found: dict) -> None:
        print(name, json.dumps(found), flush=True)
        size = next(iter(found))
        kept = [row for row in tables.get(name, []) if row[size] != found[size]]
        tables[name] = sorted([*kept, found], key=lambda row: row[size])
        arguments.out.write_text(json.dumps(tables, indent=1) + "\n")

    with tempfile.TemporaryDirectory() as scratch:
        for rows in arguments.rows:
            keep("users", _measure(rows, arguments, Path(arguments.folder or scratch)))
    for items in arguments.items:
        for optimizer in OPTIMIZERS:
            if optimizer != "adam" or items <= MOST_DENSE:
                keep(f"items, {optimizer}", _step("comirec", optimizer, items=items))
    for name in ("length", "interests"):
        for value in getattr(arguments, name):
            keep(name, _step("timirec", "adam", **{name: value}))
    drawn = {"users", "length", "interests", *(f"items, {name}" for name in OPTIMIZERS)}
    if drawn <= tables.keys():
        _draw(tables, arguments.out.with_suffix(".svg"))


def _step(system: str, optimizer: str, **size: int) -> dict:
    """The time of a training step, and the largest memory of a process that does nothing else."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return size | pool.apply(_of_step, [system, optimizer], size)


def _of_step(system: str, optimizer: str, items=12_000, length=20, interests=4) -> dict:
    import resource

    import tensorflow as tf

    from benchmarks import floor
    from tfrs_timirec.config import settings_named
    from tfrs_timirec.models.systems import SYSTEMS

    tf.config.experimental.enable_op_determinism()
    named = {"history_length": length, "num_interests": interests}
    *_, model = SYSTEMS[system].create(items, settings_named(system, named).model, 0.01, 0).phases()
    inputs = floor.generated(model, "instance", 256, length, items)
    seconds = floor.step_seconds(model, inputs, optimizer)
    gibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"milliseconds": round(seconds * 1e3, 2), "gib": round(gibibytes, 2)}


def _measure(rows: int, arguments: argparse.Namespace, folder: Path) -> dict:
    log = folder / f"log{rows}.csv"
    began = time.perf_counter()
    if not log.exists():
        generate(rows, log)
    generating = round(time.perf_counter() - began)
    data = {
        "source": str(log),
        "folder": str(folder / f"data{rows}"),
        "split": "none",
        "shard_size": arguments.shard_size,
    }
    preparing = subprocess.Popen(
        [sys.executable, "-c", _PREPARE, json.dumps(data)], stdout=subprocess.PIPE, text=True
    )
    (users, items, kept, instances), seconds, peak = _waited(preparing)
    found = {"interactions": rows, "users": users, "generating_seconds": generating}
    found |= {"items": items, "kept": kept, "instances": instances}
    found |= {"preparing_seconds": round(seconds), "preparing_gib": peak}

    run = Path(tempfile.mkdtemp(dir=folder), "run")
    flags = [f"--data.{name}={value}" for name, value in data.items()]
    training = subprocess.Popen(
        [
            *(sys.executable, "-m", "tfrs_timirec.train", f"--run={run}", *flags),
            *("--model.system=youtube_dnn", f"--training.batch_size={BATCH}"),
            "--training.max_epochs=1",
        ],
        stdout=subprocess.DEVNULL,
    )
    limit = arguments.minutes and arguments.minutes * 60
    _, seconds, peak = _waited(training, limit)
    with np.load(run / "checkpoints" / "latest.npz") as checkpoint:
        progress = json.loads(bytes(checkpoint["progress.json"]))
    trained = instances if progress["log"] else progress["step"] * BATCH
    return found | {
        "trained": trained,
        "training_seconds": round(min(seconds, limit or seconds)),
        "training_gib": peak,
    }


def generate(rows: int, log: Path) -> None:
    """Writes a CSV of random interactions, squared and cubed so that a core drops some.

    Args:
        rows: How many.
        log: Where to.
    """
    with duckdb.connect() as connection:
        # One thread, for each draws numbers of its own, and which rows it gets is chance.
        connection.execute("SET memory_limit = '1GB'; SET threads = 1; SELECT setseed(0)")
        connection.execute(
            f"COPY (SELECT CAST(random() ** 2 * {rows // 20} AS INT) AS user_id, "
            f"CAST(random() ** 3 * {ITEMS} AS INT) AS item_id, "
            "CAST(1500000000 + random() * 100000000 AS BIGINT) AS timestamp "
            f"FROM range({rows})) TO '{log}' (HEADER)"
        )


def _waited(process: subprocess.Popen, limit: float | None = None) -> tuple[list, float, float]:
    """What a process printed as JSON, its seconds, and its largest memory in GiB."""
    began = time.perf_counter()
    stopped = False
    printed = process.stdout.read() if process.stdout else "[]"
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        seconds = time.perf_counter() - began
        if pid:
            break
        if limit and seconds > limit and not stopped:
            process.send_signal(signal.SIGTERM)
            stopped = True
        time.sleep(0.2)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 143):
        raise SystemExit(f"A child process ended with {process.returncode}.")
    return json.loads(printed), seconds, round(usage.ru_maxrss / 2**20, 2)


def _draw(tables: dict[str, list[dict]], path: Path) -> None:
    figure, axes = plt.subplots(2, 4, figsize=(13, 5.5), layout="constrained", sharex="col")

    def line(column: int, table: list[dict], size: str, time: list, memory: str, label: str):
        sizes = [row[size] for row in table]
        axes[0, column].loglog(sizes, time, "o-", label=label)
        axes[1, column].semilogx(sizes, [row[memory] for row in table], "o-", label=label)

    users = tables["users"]
    epoch = [row["training_seconds"] * row["instances"] / row["trained"] for row in users]
    preparing = [row["preparing_seconds"] for row in users]
    line(0, users, "users", preparing, "preparing_gib", "preparing")
    line(0, users, "users", epoch, "training_gib", "an epoch, youtube_dnn")
    lines = [(1, "items", f"items, {optimizer}", optimizer) for optimizer in OPTIMIZERS]
    lines += [(2, "length", "length", "timirec"), (3, "interests", "interests", "timirec")]
    for column, size, key, label in lines:
        time = [row["milliseconds"] for row in tables[key]]
        line(column, tables[key], size, time, "gib", label)
    titles = ("a log", "a step of comirec", "a step of timirec", "a step of timirec")
    for column, (name, title) in enumerate(zip(("users", "items", "L", "K"), titles, strict=True)):
        axes[0, column].set(title=title, ylabel="milliseconds" if column else "seconds", ylim=1)
        axes[1, column].set(xlabel=name, ylabel="largest memory, GiB", ylim=0)
        axes[0, column].legend()
    for each in axes.flat:
        each.grid(alpha=0.3)
    figure.savefig(path)


if __name__ == "__main__":
    main()
