"""The figures of a comparison: metrics, trainings, tests of the differences."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy import stats

from tfrs_timirec.comparison.settings import Entry
from tfrs_timirec.errors import UserError
from tfrs_timirec.evaluation.metrics import metric

PROTOCOLS = {"sampled": "among negatives", "full": "whole catalogue"}
TESTED = ("HR@10", "NDCG@10")
RESAMPLES = 2_000
_COLUMNS = (
    "loss",
    "metric",
    "instances_per_second",
    "training_seconds",
    "validation_seconds",
)
_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    BadZipFile,
    pa.ArrowException,
)


def read_metrics(entries: list[Entry]) -> pd.DataFrame:
    """The test metrics of each training.

    Args:
        entries: Trained.

    Returns:
        The columns `name`, `seed`, `protocol` and one for each metric.
    """
    rows = []
    for entry in entries:
        with _reading(entry.folder / "metrics.json") as path:
            test = json.loads(path.read_text())["test"]
            # The last one is the whole system; before it come popularity and earlier phases.
            for protocol, values in list(test.values())[-1].items():
                row = {"name": entry.name, "seed": entry.seed, "protocol": protocol}
                rows.append(row | {name: float(value) for name, value in values.items()})
    return pd.DataFrame(rows)


def read_planted(entries: list[Entry]) -> pd.DataFrame:
    """How well each predictor names the planted interests; empty but for synthetic data.

    Args:
        entries: Trained.

    Returns:
        The columns `name`, `seed`, `agreement` and `most frequent`, shares of the users.
    """
    rows = []
    for entry in entries:
        with _reading(entry.folder / "metrics.json") as path:
            if planted := json.loads(path.read_text()).get("planted interests"):
                rows.append({"name": entry.name, "seed": entry.seed, **planted})
    return pd.DataFrame(rows)


def read_logs(entries: list[Entry]) -> pd.DataFrame:
    """The log of each training, one row per epoch, with `name` and `seed`; popularity has none."""
    logs = []
    for entry in entries:
        if (entry.folder / "log.csv").exists():
            with _reading(entry.folder / "log.csv") as path:
                log = pd.read_csv(path)
                # What `trainings_table` and the pictures of the curves read.
                numbers = log[["phase", "epoch", *_COLUMNS]].apply(pd.to_numeric)
                logs.append(numbers.assign(name=entry.name, seed=entry.seed))
    return pd.concat(logs, ignore_index=True)


def trainings_table(entries: list[Entry]) -> pd.DataFrame:
    """What the trainings took, on average over the seeds.

    Returns:
        Indexed by name: `parameters`, `epochs`, `minutes` of training and validation, and
        `instances/s`.
    """
    parameters = {entry.name: _parameters(entry) for entry in entries}
    logs = read_logs(entries)
    logs["seconds"] = logs.training_seconds + logs.validation_seconds
    logs["instances"] = logs.instances_per_second * logs.training_seconds
    runs = logs.groupby(["name", "seed"], sort=False).agg(
        epochs=("epoch", "size"),
        minutes=("seconds", lambda seconds: seconds.sum() / 60),
        instances=("instances", "sum"),
        training=("training_seconds", "sum"),
    )
    runs["instances/s"] = runs.instances / runs.training
    table = runs.groupby("name", sort=False)[["epochs", "minutes", "instances/s"]].mean()
    table.insert(0, "parameters", table.index.map(parameters))
    return table


def _parameters(entry: Entry) -> int:
    """The trainable weights, read from the checkpoint of the last phase."""
    checkpoints = sorted((entry.folder / "checkpoints").glob("phase*.npz"))
    if not checkpoints:
        return 0
    with _reading(checkpoints[-1]) as path, np.load(path) as arrays:
        return sum(arrays[name].size for name in arrays.files if arrays[name].dtype.kind == "f")


@contextmanager
def _reading(path: Path) -> Iterator[Path]:
    """Tells what reading a damaged file of a run raises."""
    try:
        yield path
    except _UNREADABLE as error:
        reason = " ".join(str(error).split()).strip(".")
        raise UserError(
            f"{path} is missing or damaged ({reason}): delete its run folder, and the same command "
            "trains it again."
        ) from error


def differences(entries: list[Entry], reference: str) -> pd.DataFrame:
    """How far the reference is above each other system, with what chance can do.

    Over the users who are not new, each with the mean over the seeds of what they add to the
    metric: a paired t-test, and the bootstrap interval of the mean difference.

    Args:
        entries: Trained.
        reference: The system's name.

    Returns:
        A row for each other system and metric: `name`, `metric`, `difference`, `low` and `high` of
        the 95 % interval, and `p`.
    """
    ranks: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for entry in entries:
        with _reading(entry.folder / "users.parquet") as path:
            table = pq.read_table(path)
            if "is_new" in table.column_names:  # Runs of earlier versions do not tell.
                table = table.filter(pc.invert(table["is_new"]))
            column = [name for name in table.column_names if name.endswith("sampled rank")][-1]
            users = table["user_id"].combine_chunks().dictionary_encode().indices.to_numpy()
            ranks.setdefault(entry.name, []).append((table[column].to_numpy(), users))
    rows = []
    for tested in TESTED:
        gains = {
            name: np.mean([metric(tested, *of_seed) for of_seed in of_name], axis=0)
            for name, of_name in ranks.items()
        }
        for name, of_users in gains.items():
            if name == reference:
                continue
            difference = gains[reference] - of_users
            interval = stats.bootstrap(
                (difference,),
                np.mean,
                n_resamples=RESAMPLES,
                batch=100,
                method="percentile",
                rng=np.random.default_rng(0),
            ).confidence_interval
            rows.append(
                {
                    "name": name,
                    "metric": tested,
                    "difference": difference.mean(),
                    "low": interval.low,
                    "high": interval.high,
                    "p": stats.ttest_rel(gains[reference], of_users).pvalue,
                }
            )
    return pd.DataFrame(rows)
