"""Trains configurations with several seeds and writes their test results as a Markdown table.

Runs that are there are gone on with, or taken as they are. For example:

python -m benchmarks.reproduce configs/beauty.yaml configs/beauty_plus.yaml \
    --source beauty.csv --out docs/beauty.md
"""

import argparse
import csv
import json
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tfrs_timirec.files import write_whole

METRICS = ("HR@5", "HR@10", "HR@20", "NDCG@5", "NDCG@10", "NDCG@20")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("configs", nargs="+", type=Path)
    parser.add_argument("--source", required=True, help="the log that all are trained on")
    parser.add_argument("--out", required=True, type=Path, help="the Markdown file")
    parser.add_argument("--seeds", type=int, default=3, help="how many: 0, 1 and so on")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time, a core each")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="the run folders' folder")
    reproduce(**vars(parser.parse_args()))


def reproduce(
    configs: list[Path], source: str, out: Path, seeds: int, jobs: int, runs: Path
) -> None:
    """Trains each configuration with each seed and writes the table."""

    def folder(config: Path, seed: int) -> Path:
        return runs / f"{config.stem}-{seed}"

    def train(config: Path, seed: int) -> None:
        command = [sys.executable, "-m", "tfrs_timirec.train", f"--config={config}"]
        command += [f"--data.source={source}", f"--seed={seed}", f"--run={folder(config, seed)}"]
        with open(f"{folder(config, seed)}.log", "a") as log:
            subprocess.run([*command, "--resume"], check=True, stdout=log, stderr=log)

    runs.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(jobs) as pool:
        trainings = [pool.submit(train, c, s) for s in range(seeds) for c in configs]
        for training in trainings:
            training.result()
    lines = [
        f"Mean ± standard deviation over {seeds} seeds. The wall time and the epochs are those of "
        f"the training and its validations, {jobs} at a time.",
        "",
    ]
    for protocol, title in (("sampled", "1,000 negatives"), ("full", "whole catalogue")):
        lines += [f"| {title} | {' | '.join(METRICS)} |", "|---" * (len(METRICS) + 1) + "|"]
        for config in configs:
            lines += _rows(config.stem, [folder(config, s) for s in range(seeds)], protocol)
        lines.append("")
    lines += ["| training | phase | epochs | best validation metric | minutes |", "|---" * 5 + "|"]
    for config in configs:
        lines += _trainings(config.stem, [folder(config, s) for s in range(seeds)])
    write_whole(out, lambda file: file.write(("\n".join(lines) + "\n").encode()))


def _rows(name: str, folders: list[Path], protocol: str) -> list[str]:
    """A line of the table for each system that the runs hold."""
    tests = [json.loads((folder / "metrics.json").read_text())["test"] for folder in folders]
    return [
        _line(
            f"{name}: {system}",
            *(_spread([test[system][protocol][metric] for test in tests]) for metric in METRICS),
        )
        for system in tests[0]
    ]


def _trainings(name: str, folders: list[Path]) -> list[str]:
    lines = []
    for folder in folders:
        with open(folder / "log.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        for phase in sorted({row["phase"] for row in rows}):
            epochs = [row for row in rows if row["phase"] == phase]
            best = max(float(row["metric"]) for row in epochs)
            seconds = sum(
                float(row["training_seconds"]) + float(row["validation_seconds"]) for row in epochs
            )
            lines.append(
                _line(folder.name, phase, str(len(epochs)), f"{best:.4f}", f"{seconds / 60:.1f}")
            )
    return lines


def _spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
