"""How time and memory grow with the log: generated, prepared and trained for an epoch.

python -m benchmarks.growth [--rows 1000000 10000000] [--minutes 10] [--shard_size 20000000]
"""

import argparse
import json
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

BATCH = 4096
ITEMS = 20_000
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", type=int, default=[10**6, 10**7, 10**8])
    parser.add_argument("--minutes", type=float, help="after which a training is interrupted")
    parser.add_argument("--shard_size", type=int, default=20_000_000)
    parser.add_argument("--folder", help="of the logs, which are kept there")
    parser.add_argument("--out", type=Path, default=Path("docs/growth.json"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for rows in arguments.rows:
            found = _measure(rows, arguments, Path(arguments.folder or scratch))
            there = json.loads(arguments.out.read_text()) if arguments.out.exists() else []
            kept = [row for row in there if row["interactions"] != rows]
            table = sorted([*kept, found], key=lambda row: row["interactions"])
            arguments.out.write_text(json.dumps(table, indent=1) + "\n")
            print(json.dumps(found), flush=True)
    _draw(table, arguments.out.with_suffix(".svg"))


def _measure(rows: int, arguments: argparse.Namespace, folder: Path) -> dict:
    log = folder / f"log{rows}.csv"
    began = time.perf_counter()
    if not log.exists():
        generate(rows, log)
    found = {"interactions": rows, "generating_seconds": round(time.perf_counter() - began)}
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
    found |= {"users": users, "items": items, "kept": kept, "instances": instances}
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
        connection.execute("SET memory_limit = '1GB'; SET preserve_insertion_order = false")
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


def _draw(table: list[dict], path: Path) -> None:
    figure, (times, memory) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    rows = [row["interactions"] for row in table]
    epoch = [row["training_seconds"] * row["instances"] / row["trained"] for row in table]
    times.loglog(rows, [row["preparing_seconds"] for row in table], "o-", label="preparing")
    times.loglog(rows, epoch, "o-", label="one epoch, youtube_dnn")
    times.set(xlabel="interactions", ylabel="seconds", title="time")
    memory.semilogx(rows, [row["preparing_gib"] for row in table], "o-", label="preparing")
    memory.semilogx(rows, [row["training_gib"] for row in table], "o-", label="training")
    memory.set(xlabel="interactions", ylabel="GiB", title="largest memory of the process", ylim=0)
    for axes in (times, memory):
        axes.legend()
        axes.grid(alpha=0.3)
    figure.savefig(path)


if __name__ == "__main__":
    main()
