"""Measures the exact best items of many users: users a second of several ways, in one run.

python -m benchmarks.ranking [--users 22363] [--items 12101] [--seconds 20]

Vectors are generated, D is 64; a user's score of an item is the largest of M dot products. The ways
take turns, and each one's median counts. None leaves out what a user has had.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jsonargparse import auto_cli
from rich.console import Console
from rich.table import Table

from tfrs_timirec.errors import run_command

SIZE, K = 64, 100
BASE = "one product, argpartition"


def main(users: int = 22_363, items: int = 12_101, seconds: float = 20.0) -> None:
    """Measures and prints a table.

    Args:
        users: Who are ranked for, in each turn.
        items: Of the catalogue.
        seconds: How long all ways together are measured, for each M.
    """
    run_command(lambda: measure(users, items, seconds))


def measure(users: int, items: int, seconds: float) -> None:
    table = Table("M", "way", "users/s", "ratio", "processor, µs a user", "ratio")
    for vectors in (1, 4):
        found = of_vectors(users, items, vectors, seconds)
        walls, processors = found[BASE]
        for way, (wall, processor) in found.items():
            cells = f"{users / wall:,.0f}", f"{walls / wall:.2f}", f"{processor / users * 1e6:,.0f}"
            table.add_row(str(vectors), way, *cells, f"{processors / processor:.2f}")
    Console().print(table)


def of_vectors(users: int, items: int, vectors: int, seconds: float) -> dict[str, np.ndarray]:
    """Seconds, and seconds of processors, that each way takes for all users."""
    import scann
    import tensorflow as tf

    from tfrs_timirec.retrieval import VECTORS_A_BLOCK, exact_best

    rng = np.random.default_rng(0)
    catalogue = rng.standard_normal((items, SIZE), np.float32)
    queries = rng.standard_normal((users, vectors, SIZE), np.float32)
    held, size = tf.constant(catalogue), VECTORS_A_BLOCK // vectors
    builder = scann.scann_ops_pybind.builder(catalogue, K, "dot_product")
    brute_force = builder.score_brute_force().build()

    def scored(asked):
        products = tf.matmul(asked.reshape(-1, SIZE), held, transpose_b=True)
        return np.asarray(products).reshape(len(asked), vectors, -1).max(axis=1)

    def with_argpartition(asked):
        scores = scored(asked)
        best = np.argpartition(scores, items - K, axis=1)[:, items - K :]
        values = np.take_along_axis(scores, best, axis=1)
        np.take_along_axis(best, np.argsort(-values, axis=1), axis=1)

    def with_tens(asked):
        scores = scored(asked)
        groups = items // 10
        maxima = scores[:, : 10 * groups].reshape(len(asked), 10, groups).max(axis=1)
        least = np.partition(maxima, groups - K, axis=1)[:, groups - K, None]
        row, place = np.divmod(np.flatnonzero(scores >= least), items)
        found = np.bincount(row, minlength=len(asked))
        column = np.arange(len(row)) - np.repeat(np.cumsum(found) - found, found)
        places = np.zeros((len(asked), found.max()), np.int64)
        values = np.full(places.shape, -np.inf, np.float32)
        places[row, column] = place
        values[row, column] = scores[row, place]
        order = np.argsort(-values, axis=1, kind="stable")[:, :K]
        np.take_along_axis(places, order, axis=1)

    ways = {
        BASE: with_argpartition,
        "one product, groups of ten": with_tens,
        "ScaNN's brute force, not merged": lambda asked: brute_force.search_batched(
            asked.reshape(-1, SIZE)
        ),
        "exact_best": lambda asked: exact_best(tf.constant(asked), held, K),
    }
    blocks = np.split(queries, range(size, users, size))
    taken = {way: [] for way in ways}
    began = time.perf_counter()
    with ThreadPoolExecutor() as pool:
        while time.perf_counter() - began < seconds or len(taken["exact_best"]) < 3:
            for way, find in ways.items():
                wall, processor = time.perf_counter(), time.process_time()
                list(pool.map(find, blocks))
                took = time.perf_counter() - wall, time.process_time() - processor
                taken[way].append(took)
    # The first turn also compiles.
    return {way: np.median(values[1:], axis=0) for way, values in taken.items()}


if __name__ == "__main__":
    auto_cli(main, as_positional=True)
