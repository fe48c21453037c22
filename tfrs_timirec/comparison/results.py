"""The figures of a comparison: metrics, trainings, tests of the differences."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy import stats

from tfrs_timirec.comparison.settings import Entry
from tfrs_timirec.errors import UserError
from tfrs_timirec.evaluation.interests import MEANING
from tfrs_timirec.evaluation.metrics import metric
from tfrs_timirec.evaluation.report import PROTOCOLS

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

    def of_test(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for protocol, values in _whole(found["test"]).items():
            yield {"protocol": protocol} | _numbers(values)

    return _rows(entries, of_test)


def read_planted(entries: list[Entry]) -> pd.DataFrame:
    """How well each predictor names the planted interests; empty but for synthetic data.

    Args:
        entries: Trained.

    Returns:
        The columns `name`, `seed`, `agreement` and `most frequent`, shares of the users.
    """
    return _rows(entries, lambda found: filter(None, [found.get("planted interests")]))


def read_lists(entries: list[Entry]) -> pd.DataFrame:
    """What each system's lists show; nothing of runs of versions that did not record it.

    Args:
        entries: Trained.

    Returns:
        The columns `name`, `seed` and those of `tfrs_timirec.evaluation.lists.MEANING`, at each
        cutoff.
    """

    def of_lists(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if lists := found.get("lists"):
            yield _numbers(_whole(lists))

    return _rows(entries, of_lists)


def read_groups(entries: list[Entry], metrics: Sequence[str]) -> pd.DataFrame:
    """How well each system serves groups of users and targets; nothing where there are none.

    Args:
        entries: Trained.
        metrics: Of the whole catalogue.

    Returns:
        The columns `name`, `seed`, `metric` and one for each group of
        `tfrs_timirec.evaluation.groups.groups`.
    """

    def of_groups(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if groups := found.get("groups"):
            for read in metrics:
                of_metric = {name: _whole(of["test"])["full"][read] for name, of in groups.items()}
                yield {"metric": read} | _numbers(of_metric)

    return _rows(entries, of_groups)


def read_interests(entries: list[Entry], reached: str) -> pd.DataFrame:
    """What the interests of each system with several are worth; nothing of the others.

    Args:
        entries: Trained.
        reached: A metric of the whole catalogue.

    Returns:
        The columns `name`, `seed`, `interests`, those of
        `tfrs_timirec.evaluation.interests.MEANING`, the metric, and the same of the oracle.
    """

    def of_interests(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for of in found.get("interests", {}).values():
            known = {name: of[name] for name in ("interests", *MEANING) if name in of}
            of_both = {reached: of["model"][reached], f"{reached}, oracle": of["oracle"][reached]}
            yield _numbers(known | of_both)

    return _rows(entries, of_interests)


def _rows(
    entries: list[Entry], read: Callable[[dict[str, Any]], Iterable[dict[str, Any]]]
) -> pd.DataFrame:
    """A table of what is read from each training's metrics, with the columns `name` and `seed`."""
    rows = []
    for entry in entries:
        with _reading(entry.folder / "metrics.json") as path:
            of_entry = {"name": entry.name, "seed": entry.seed}
            rows += [of_entry | row for row in read(json.loads(path.read_text()))]
    return pd.DataFrame(rows)


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items()}


def _whole(by_system: dict[str, Any]) -> Any:
    """What is told of the whole system; before it come popularity and earlier phases."""
    return list(by_system.values())[-1]


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
    return pd.concat(logs, ignore_index=True) if logs else pd.DataFrame()


def trainings_table(entries: list[Entry], logs: pd.DataFrame) -> pd.DataFrame:
    """What the trainings took, on average over the seeds.

    Args:
        entries: Trained.
        logs: Theirs, as `read_logs` gives them; one at least.

    Returns:
        Indexed by name: `parameters`, `epochs`, `minutes` of training and validation, and
        `instances/s`.
    """
    parameters = {entry.name: _parameters(entry) for entry in entries if entry.seed == 0}
    logs = logs.assign(
        seconds=logs.training_seconds + logs.validation_seconds,
        instances=logs.instances_per_second * logs.training_seconds,
    )
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
    """The numbers of the weights, read from the checkpoint of the last phase."""
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


def differences(
    entries: list[Entry], references: Sequence[str], metrics: Sequence[str]
) -> pd.DataFrame:
    """How far references are above the other systems, with what chance can do.

    Over the users who are not new and are tested with each seed, each with the mean over the seeds
    of what they add to the metric: paired t-tests, with their intervals of the mean difference. No
    pair of systems is tested twice.

    Args:
        entries: Trained.
        references: Names of systems.
        metrics: What is tested, under each protocol.

    Returns:
        A row for each reference, other system, protocol and metric: `reference`, `name`,
        `protocol`, `metric`, `of_reference` and `of_other`, the metric of each; `difference`, `low`
        and `high` of its 95 % interval; `p`, and `p_holm`, corrected for the number of rows.
    """
    of_seeds: dict[tuple[str, str, str], list[pd.Series]] = {}
    for entry in entries:
        with _reading(entry.folder / "users.parquet") as path:
            users, ranks = _read_ranks(path)
        for protocol, tested in product(PROTOCOLS, metrics):
            gains = metric(tested, ranks[protocol], users.indices.to_numpy())
            of_user = pd.Series(gains, users.dictionary.to_pandas())
            of_seeds.setdefault((entry.name, protocol, tested), []).append(of_user)
    # Of synthetic data the seed may decide who is tested.
    gains = {
        of: pd.concat(series, axis=1, join="inner").mean(axis=1) for of, series in of_seeds.items()
    }
    others = dict.fromkeys(entry.name for entry in entries)
    rows = []
    for number, reference in enumerate(references):
        tested_already = references[: number + 1]
        for protocol, tested, name in product(PROTOCOLS, metrics, others):
            if name not in tested_already:
                both = (gains[system, protocol, tested] for system in (reference, name))
                row = {"reference": reference, "name": name, "protocol": protocol}
                rows.append(row | {"metric": tested} | _paired(*both))
    found = pd.DataFrame(rows)
    return found.assign(p_holm=holm(found["p"].to_numpy())) if rows else found


def _read_ranks(path: Path) -> tuple[pa.DictionaryArray, dict[str, np.ndarray]]:
    """The user and, by protocol, the rank of each target of users who are not new."""
    table = pq.read_table(path)
    if "is_new" in table.column_names:  # Runs of earlier versions do not tell.
        table = table.filter(pc.invert(table["is_new"]))
    ranks = {}
    for protocol in PROTOCOLS:
        # The whole system's is the last one.
        column = [name for name in table.column_names if name.endswith(f"{protocol} rank")][-1]
        ranks[protocol] = table[column].to_numpy()
    return table["user_id"].combine_chunks().dictionary_encode(), ranks


def seen_from(differences: pd.DataFrame, reference: str) -> pd.DataFrame:
    """The differences of one reference, also those that another one was tested in.

    Args:
        differences: Of `differences`.
        reference: One of its references.

    Returns:
        The same columns.
    """
    turned = differences[differences["name"] == reference]
    turned = turned.assign(
        reference=reference,
        name=turned["reference"],
        of_reference=turned["of_other"],
        of_other=turned["of_reference"],
        difference=-turned["difference"],
        low=-turned["high"],
        high=-turned["low"],
    )
    return pd.concat([differences[differences["reference"] == reference], turned])


def _paired(reference: pd.Series, other: pd.Series) -> dict[str, float]:
    """A paired t-test of what each user, by whom they are indexed, adds to a metric."""
    reference, other = reference.align(other, join="inner")
    difference = (reference - other).to_numpy()
    found = {"of_reference": reference.mean(), "of_other": other.mean()}
    found["difference"] = difference.mean()
    if np.ptp(difference) == 0:
        # The test would divide by 0.
        p = float(len(difference) == 1 or difference[0] == 0)
        return found | {"low": difference[0], "high": difference[0], "p": p}
    test = stats.ttest_1samp(difference, 0)
    interval = test.confidence_interval(0.95)
    return found | {"low": interval.low, "high": interval.high, "p": test.pvalue}


def holm(p: np.ndarray) -> np.ndarray:
    """P values corrected for their number (Holm, Scandinavian Journal of Statistics, 1979).

    The i-th smallest of n, from 0, is multiplied by n − i, and is no smaller than one before it.

    Args:
        p: float [n].

    Returns:
        float64 [n], at most 1. Those below α are of differences of which, with probability 1 − α,
        all are there.
    """
    order = np.argsort(p)
    corrected = np.empty(len(p))
    corrected[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(corrected, 1)
