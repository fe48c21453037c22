"""Measures recommendations for all users: users a second, against NumPy doing the same.

python -m benchmarks.recommend MODEL [--k 100] [--seconds 10]

MODEL is a run folder or that of a saved recommender. Both have the query vectors computed by the
model's tower, leave out what users have had, and find the exact best items.
"""

import time
from pathlib import Path

import numpy as np
from jsonargparse import auto_cli

from tfrs_timirec.errors import run_command


def main(model: Path, k: int = 100, seconds: float = 10.0) -> None:
    """Measures and prints a Markdown table.

    Args:
        model: A run folder, or that of a saved recommender.
        k: Items a user.
        seconds: How long each is measured.
    """
    run_command(lambda: measure(model, k, seconds))


def measure(folder: Path, k: int, seconds: float) -> None:
    from tfrs_timirec.data.instances import whole_histories
    from tfrs_timirec.recommender import Recommender

    recommender = Recommender.load(folder)
    store, length = recommender.sequences, recommender.settings.model.history_length
    histories = whole_histories(store, np.arange(store.num_users), length)
    columns = np.ascontiguousarray(recommender.item_vectors().T)

    def ours(users: np.ndarray) -> None:
        for _ in recommender.best(histories.chosen(users), k):
            pass

    def with_numpy(users: np.ndarray) -> None:
        asked = histories.chosen(users)
        for block, width in asked.batches(256):
            given = recommender.system.represent(asked.inputs(block, width))
            queries = np.asarray(given["query_vectors"])
            scores = (queries @ columns).max(axis=1)
            rows, items = asked.no_candidates(block)
            scores[rows, items - 1] = -np.inf
            best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
            values = np.take_along_axis(scores, best, axis=1)
            np.take_along_axis(best, np.argsort(-values, axis=1), axis=1)

    speeds = {
        name: speed(way, store.num_users, seconds)
        for name, way in (("recommender", ours), ("NumPy, block by block", with_numpy))
    }
    print("| | users/s | ratio |\n|---|---|---|")
    for name, found in speeds.items():
        print(f"| {name} | {found:,.0f} | {found / speeds['NumPy, block by block']:.1f} |")


def speed(way, num_users: int, seconds: float) -> float:
    """Users a second, once each width of histories is compiled."""
    users = np.random.default_rng(0).permutation(num_users)
    chunks = np.array_split(users, max(1, num_users // 5_000))
    way(chunks[0])
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for chunk in chunks:
            way(chunk)
            done += len(chunk)
    return done / (time.perf_counter() - began)


if __name__ == "__main__":
    auto_cli(main, as_positional=True)
