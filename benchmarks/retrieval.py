"""Measures ScaNN against exact retrieval: recall, queries a second, building time and memory.

python -m benchmarks.retrieval [--sizes '[12000, 100000, 1000000]'] [--run RUN] [--picture FILE]
python -m benchmarks.retrieval --sizes '[100000]' --costs true

With `--costs` it also prints what the export goes by: recall and time by leaves and candidates, how
many items of leaves cost as much as a candidate, and the exact search with and without groups. With
a run, the first catalogue is its own, with its trained vectors and users; the others are
synthetic, in overlapping clusters of a thousand items. The index is calibrated with other queries
than it is measured with.
"""

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jsonargparse import auto_cli

from tfrs_timirec.errors import run_command

K = 100
QUERIES = 1_000
SIZE = 64
# Of the queries, those that the index is calibrated with.
CALIBRATION = 256
BATCHES = (1, 64)
SECONDS = 3.0
# Candidates scored for each item asked for, and the share of the leaves that is searched.
EFFORTS = [(1, 0.01), (2, 0.01), (4, 0.01), (4, 0.05), (4, 0.2), (10, 0.2), (32, 0.2)]
# The same for the costs.
CANDIDATES = (1, 2, 4, 8, 16)
SHARES = (1 / 80, 1 / 40, 1 / 20, 1 / 10, 1 / 5)


@dataclass
class Point:
    """What one way to search does: mean recall@K, and queries a second by batch size."""

    recall: float
    speed: dict[int, float]


@dataclass
class Index:
    """A ScaNN index: with the export's choice of effort, in words, and with others."""

    default: Point
    chosen: str
    efforts: list[Point]
    seconds: float
    gigabytes: float


@dataclass
class Result:
    """Of one catalogue: the exact search, and indices that score with 32 and with 8 bits."""

    name: str
    exact: Point
    float32: Index
    int8: Index


def main(
    sizes: list[int] = [12_000, 100_000, 1_000_000],  # noqa: B006
    run: Path | None = None,
    picture: Path | None = None,
    costs: bool = False,
) -> None:
    """Measures, prints a Markdown table and draws the picture.

    Args:
        sizes: Items of the synthetic catalogues.
        run: The run folder whose trained vectors are the first catalogue.
        picture: An image file.
        costs: Whether the costs that the export goes by are measured, too.
    """
    run_command(lambda: measure(sizes, run, picture, costs))


def measure(sizes: list[int], run: Path | None, picture: Path | None, costs: bool) -> None:
    results = []
    for source in (*([run] if run else []), *sizes):
        exact, true, size = apart(of_exact, source, costs)
        float32 = apart(of_index, source, "float32", true, picture is not None, costs)
        int8 = apart(of_index, source, "int8", true)
        name = f"{size:,} {'trained' if isinstance(source, Path) else 'clustered'}"
        results.append(Result(name, exact, float32, int8))
        print(row(results[-1]), flush=True)
    print(f"\n{table(results)}")
    if picture:
        draw(results, picture)


def apart(function: Callable, *arguments):
    """What a function gives in a process of its own: its memory and its peak are its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def of_exact(source: Path | int, costs: bool) -> tuple[Point, np.ndarray, int]:
    """The exact search, what it finds, and how many items there are."""
    from tfrs_timirec.export import retrieval
    from tfrs_timirec.export.retrieval import ExactSearch
    from tfrs_timirec.export.settings import ExportSettings

    items, queries = vectors(source)
    asked = queries[CALIBRATION:]
    search = ExactSearch(items, ExportSettings(request_scores=max(BATCHES) * len(items)))
    if costs:
        before, times = retrieval.GROUPED, []
        for retrieval.GROUPED in (0, len(items) + 1):
            times.append(1e6 / speed(compiled(search, asked), asked, 64))
        retrieval.GROUPED = before
        told = f"{times[0]:.0f} µs a query with groups, {times[1]:.0f} without"
        print(f"{len(items):,} items, exact, batch 64: {told}", flush=True)
    search = compiled(search, asked)
    true = answers(search, asked)
    speeds = {batch: speed(search, asked, batch) for batch in BATCHES}
    return Point(1.0, speeds), true, len(items)


def of_index(
    source: Path | int, quantize: str, true: np.ndarray, picture=False, costs=False
) -> Index:
    """A ScaNN index with the export's choice of effort, and with others for the picture."""
    import resource

    from tfrs_timirec.export.retrieval import ScannSearch
    from tfrs_timirec.export.settings import ExportSettings

    items, queries = vectors(source)
    calibration, asked = queries[:CALIBRATION], queries[CALIBRATION:]
    begin = time.perf_counter()
    scann = ScannSearch(items, calibration, ExportSettings(quantize=quantize))
    seconds = time.perf_counter() - begin
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    chosen = f"{scann.leaves_to_search:,} of {scann.leaves:,}, {scann.reordering}"

    def recall(search):
        found = answers(search, asked)
        return np.mean([len(np.intersect1d(*rows)) / K for rows in zip(found, true, strict=True)])

    def point():
        search = compiled(scann, asked)
        return Point(recall(search), {batch: speed(search, asked, batch) for batch in BATCHES})

    def recall_and_time():
        search = compiled(scann, asked)
        return recall(search), 1e6 / speed(search, asked, 64)

    default, efforts = point(), []
    if costs:
        print_costs(scann, recall_and_time)
    for scann.reordering, share in EFFORTS if picture else []:
        scann.leaves_to_search = max(1, round(share * scann.leaves))
        efforts.append(point())
    return Index(default, chosen, efforts, seconds, gigabytes)


def vectors(source: Path | int) -> tuple:
    """The items' vectors, and those of the queries, the ones for the calibration first."""
    import tensorflow as tf

    items, queries = trained(source) if isinstance(source, Path) else clustered(source)
    return items, tf.constant(queries)


def compiled(search, asked):
    import tensorflow as tf

    signature = [tf.TensorSpec([None, *asked.shape[1:]]), tf.TensorSpec([], tf.int32)]
    return tf.function(search.__call__, input_signature=signature)


def answers(search, asked) -> np.ndarray:
    """The indices of the best K of each query, best first."""
    chunks = [search(asked[i : i + 50], K) for i in range(0, QUERIES, 50)]
    scores = np.concatenate([scores for scores, _ in chunks])
    indices = np.concatenate([indices for _, indices in chunks])
    best = np.argsort(-scores, axis=1)[:, :K]
    return np.take_along_axis(indices, best, axis=1)


def speed(search, asked, batch: int) -> float:
    """Queries a second."""
    batches = [asked[i : i + batch] for i in range(0, QUERIES - batch, batch)]
    count, calls, begin = np.int32(K), 0, time.perf_counter()
    while time.perf_counter() - begin < SECONDS:
        search(batches[calls % len(batches)], count)
        calls += 1
    return calls * batch / (time.perf_counter() - begin)


def print_costs(scann, recall_and_time: Callable[[], tuple[float, float]]) -> None:
    """Recall and time by effort, and how many items of leaves cost as much as a candidate."""
    print(f"| leaves | {' | '.join(map(str, CANDIDATES))} |\n{'|---' * (len(CANDIDATES) + 1)}|")
    chosen = scann.leaves_to_search, scann.reordering
    size = scann.items.shape[0] / scann.leaves
    efforts, times = [], []
    for share in SHARES:
        scann.leaves_to_search = max(1, round(share * scann.leaves))
        cells = []
        for scann.reordering in CANDIDATES:
            recall, took = recall_and_time()
            efforts.append([1, scann.leaves_to_search * size, scann.reordering * K])
            times.append(took)
            cells.append(f"{recall:.3f}, {took:.0f} µs")
        print(f"| {scann.leaves_to_search} | {' | '.join(cells)} |", flush=True)
    scann.leaves_to_search, scann.reordering = chosen
    _, an_item, a_candidate = np.linalg.lstsq(np.array(efforts), np.array(times))[0]
    print(f"A candidate costs as much as {a_candidate / an_item:.0f} items of leaves.")


def trained(run: Path) -> tuple[np.ndarray, np.ndarray]:
    """The items' vectors of a run, and query vectors of the newest items of some of its users."""
    from tfrs_timirec.data.instances import whole_histories
    from tfrs_timirec.recommender import Recommender

    recommender = Recommender.load(run)
    sequences, length = recommender.sequences, recommender.settings.model.history_length
    size = QUERIES + CALIBRATION
    # Of few users some come again.
    is_few = sequences.num_users < size
    users = np.random.default_rng(0).choice(sequences.num_users, size, replace=is_few)
    inputs = whole_histories(sequences, users, length).inputs(np.arange(size), length)
    return recommender.item_vectors(), recommender.system.query_vectors(inputs).numpy()


def clustered(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Items around centres as far apart as the items of a cluster, and queries likewise."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((count // 1_000, SIZE), np.float32)

    def around(size):
        vectors = rng.standard_normal((size, SIZE), np.float32)
        vectors += centres[rng.integers(len(centres), size=size)]
        return vectors

    return around(count), around(QUERIES + CALIBRATION)[:, None]


def row(result: Result) -> str:
    index, exact = result.float32, result.exact.speed
    cells = [result.name, index.chosen, f"{index.default.recall:.3f}"]
    for batch in BATCHES:
        scann = index.default.speed[batch]
        cells += [f"{exact[batch]:,.0f}", f"{scann:,.0f}", f"{scann / exact[batch]:.1f}"]
    int8 = result.int8.default
    cells += [f"{int8.recall:.3f}", f"{int8.speed[64] / exact[64]:.1f}"]
    cells += [f"{index.seconds:.1f}", f"{index.gigabytes:.1f}"]
    return f"| {' | '.join(cells)} |"


def table(results: list[Result]) -> str:
    names = ["items", "leaves searched, candidates", f"recall@{K}"]
    for batch in BATCHES:
        names += [f"exact, queries/s, batch {batch}", "ScaNN", "ratio"]
    names += ["int8: recall", "int8: ratio, batch 64", "build, s", "peak memory, GiB"]
    return "\n".join([f"| {' | '.join(names)} |", "|---" * len(names) + "|", *map(row, results)])


def draw(results: list[Result], picture: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for number, result in enumerate(results):
        default = result.float32.default
        points = sorted([*result.float32.efforts, default], key=lambda point: point.recall)
        ratios = [point.speed[1] / result.exact.speed[1] for point in points]
        recalls, color = [point.recall for point in points], f"C{number}"
        axes.plot(recalls, ratios, ".-", color=color, label=f"{result.name} items")
        ratio = default.speed[1] / result.exact.speed[1]
        axes.plot(default.recall, ratio, "o", color=color, markersize=10)
    axes.axhline(1, color="gray", linestyle=":", label="exact")
    axes.set(
        xlabel=f"recall@{K}",
        ylabel="queries a second, exact = 1",
        yscale="log",
        title="ScaNN against exact retrieval, one query at a time\n(large: what is exported)",
    )
    axes.legend()
    figure.savefig(picture)


if __name__ == "__main__":
    auto_cli(main, as_positional=True)
