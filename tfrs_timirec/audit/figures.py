"""The figures of an audit, from the sequences that a training would have."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from tfrs_timirec.audit.baselines import baselines
from tfrs_timirec.config import DataSettings
from tfrs_timirec.data.splits import split_of
from tfrs_timirec.data.store import SequenceStore
from tfrs_timirec.data.task import Task
from tfrs_timirec.errors import UserError
from tfrs_timirec.evaluation.lists import gini

_BINS = 40


@dataclass(frozen=True)
class Log:
    """What the sequences hold.

    Args:
        source: Its name.
        read: What the log held before anything was dropped, as `tfrs_timirec.data.store.Read` names
            it; None for synthetic data.
        interactions: Those that are kept.
        users: Who had them.
        items: What they were with.
        user_median: The median of the interactions of a user.
        item_median: That of an item.
        repeats: The share of the interactions with an item that the user had had before.
        duplicates: The share that repeats user, item and time of another one; None without times.
    """

    source: str
    read: dict[str, int] | None
    interactions: int
    users: int
    items: int
    user_median: float
    item_median: float
    repeats: float
    duplicates: float | None


@dataclass(frozen=True)
class Popularity:
    """How unevenly interactions are spread over items.

    Args:
        gini: Of the items' interactions: 0 where all have as many, 1 where one has all.
        top: The share of the interactions with the most popular 1 % of the items, rounded up.
        curve: The shares of the interactions with the least popular 0 %, 1 %, …, 100 % of the
            items (Lorenz, 1905).
    """

    gini: float
    top: float
    curve: list[float]


@dataclass(frozen=True)
class Times:
    """When interactions were, and what that means for leave-one-out.

    Args:
        first: The first time, in seconds or the log's own unit.
        last: The last.
        step: All times are multiples of it apart.
        tied: The share of the interactions that are at the same time as one of the same user with
            another item.
        test_ties: The share of leave-one-out's test targets that are.
        validation_ties: That of its validation targets.
        later: The share of leave-one-out's training interactions, of all users, that are later
            than a test target, in the mean over these targets.
        later_counts: How many test targets have a share from 0 to 5 %, from 5 to 10 %, ….
        items_from_later: The share of its test targets whose item the training part has, but only
            later than the target.
        bins: Where equally long stretches of time begin and end.
        training_counts: The training interactions of leave-one-out in each.
        test_counts: Its test targets.
    """

    first: int
    last: int
    step: int
    tied: float
    test_ties: float
    validation_ties: float
    later: float
    later_counts: list[int]
    items_from_later: float
    bins: list[float]
    training_counts: list[int]
    test_counts: list[int]


@dataclass(frozen=True)
class Tested:
    """What a split tests.

    Args:
        users: Who has test targets.
        new_users: Those of them whom the training part lacks.
        targets: The test targets.
        items: Their distinct items.
        new_items: Those of them that the training part lacks.
        new_item_targets: The share of the targets with such an item.
        repeats: The share of the targets with an item that the user had had before.
        begins: The time of the first test target; None where times are unknown.
        baselines: HR@10 and NDCG@10 of each, of users who are not new; nothing without such.
    """

    users: int
    new_users: int
    targets: int
    items: int
    new_items: int
    new_item_targets: float
    repeats: float
    begins: int | None
    baselines: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Audit:
    """All figures.

    Args:
        log: What the sequences hold.
        popularity: How unevenly interactions are spread over items.
        times: When interactions were; None for a log without times.
        leave_one_out: What that split tests.
        temporal: What the temporal split tests; None where it cannot be made.
        unsaid: What could not be found out, and why, in sentences.
    """

    log: Log
    popularity: Popularity
    times: Times | None
    leave_one_out: Tested
    temporal: Tested | None
    unsaid: list[str]


def audit(store: SequenceStore, settings: DataSettings) -> Audit:
    """Finds all figures, of both splits whatever `settings.split` is, a shard at a time.

    Args:
        store: The users' sequences.
        settings: How they were prepared, and the points of the temporal split.
    """
    whole = _task(store, settings, "leave_one_out")
    temporal, unsaid = None, []
    if store.times is None:
        unsaid.append(
            "The log was read without times, so its order is that of the file: it cannot be said "
            "how many targets depend on ties, which rows are duplicates, how far leave-one-out "
            "learns from the future, nor what a temporal split would test."
        )
    else:
        try:
            temporal = _tested(_task(store, settings, "temporal"))
        except UserError as error:
            unsaid.append(f"A temporal split cannot be made: {error}")
    return Audit(
        _log(store, settings),
        _popularity(store),
        None if store.times is None else _times(whole),
        _tested(whole),
        temporal,
        unsaid,
    )


def _task(
    store: SequenceStore, settings: DataSettings, split: Literal["leave_one_out", "temporal"]
) -> Task:
    return Task(store, split_of(store, replace(settings, split=split)), 1, store, 0, 0)


def _log(store: SequenceStore, settings: DataSettings) -> Log:
    repeats = duplicates = 0
    for part in map(store.part, range(store.num_parts)):
        users = part.owners
        repeats += _again(users, part.items).sum()
        if part.times is not None:
            duplicates += _again(_moments(users, part.times), part.items).sum()
    count = len(store.items)
    return Log(
        source=Path(settings.source).name,
        read=store.read and store.read._asdict(),
        interactions=count,
        users=store.num_users,
        items=store.num_items,
        user_median=float(np.median(np.diff(store.offsets))),
        item_median=float(np.median(_counts(store))),
        repeats=float(repeats / count),
        duplicates=None if store.times is None else float(duplicates / count),
    )


def _popularity(store: SequenceStore) -> Popularity:
    counts = np.sort(_counts(store))
    share = np.concatenate([[0], np.cumsum(counts) / counts.sum()])
    curve = np.interp(np.linspace(0, 1, 101), np.linspace(0, 1, len(share)), share)
    return Popularity(
        gini=gini(counts),
        top=float(1 - share[-1 - math.ceil(len(counts) / 100)]),
        curve=curve.tolist(),
    )


def _times(task: Task) -> Times:
    store = task.store
    first, last = int(store.times.min()), int(store.times.max())
    bins = np.linspace(first, last + 1, _BINS + 1)
    test_times = np.sort(store.times[store.offsets[1:] - 1])
    step = tied = test_ties = validation_ties = items_from_later = 0
    # How many training interactions are later than so many of the test targets.
    passed = np.zeros(task.store.num_users + 1, np.int64)
    training_counts = np.zeros(_BINS, np.int64)
    earliest = np.full(store.num_items + 1, np.iinfo(np.int64).max)
    for part in task.parts():
        times, items = part.store.times, part.store.items
        users = part.store.owners
        step = math.gcd(step, int(np.gcd.reduce(times - first)))
        ties = _tied(_moments(users, times), items)
        tied += ties.sum()
        test_ties += ties[part.split.validation_end].sum()
        validation_ties += ties[part.split.training_end].sum()
        trained = np.arange(len(items)) < part.split.training_end[users]
        passed += np.bincount(np.searchsorted(test_times, times[trained]), minlength=len(passed))
        training_counts += np.histogram(times[trained], bins)[0]
        np.minimum.at(earliest, items[trained], times[trained])
    for part in task.parts():
        target = part.split.validation_end
        first_known = earliest[part.store.items[target]]
        known = first_known < np.iinfo(np.int64).max
        items_from_later += (known & (first_known > part.store.times[target])).sum()
    later = passed[:0:-1].cumsum()[::-1] / passed.sum()
    return Times(
        first=first,
        last=last,
        step=step,
        tied=float(tied / len(store.items)),
        test_ties=float(test_ties / store.num_users),
        validation_ties=float(validation_ties / store.num_users),
        later=float(later.mean()),
        later_counts=np.histogram(later, 20, (0, 1))[0].tolist(),
        items_from_later=float(items_from_later / store.num_users),
        bins=bins.tolist(),
        training_counts=training_counts.tolist(),
        test_counts=np.histogram(test_times, bins)[0].tolist(),
    )


def _tested(task: Task) -> Tested:
    users = new_users = targets = new_item_targets = repeats = 0
    tested = np.zeros(task.store.num_items, bool)
    begins: list[int] = []
    for part in task.parts():
        test = part.test
        distinct = np.unique(test.users)
        users += len(distinct)
        new_users += part.is_new[distinct].sum()
        targets += len(test)
        new_item_targets += (task.counts[test.positives - 1] == 0).sum()
        repeats += _again(part.store.owners, part.store.items)[test.target].sum()
        tested[test.positives - 1] = True
        if test.times is not None and len(test):
            begins.append(int(test.times[test.target].min()))
    return Tested(
        users=users,
        new_users=int(new_users),
        targets=targets,
        items=int(tested.sum()),
        new_items=int((tested & (task.counts == 0)).sum()),
        new_item_targets=float(new_item_targets / targets),
        repeats=float(repeats / targets),
        begins=min(begins, default=None),
        baselines=baselines(task),
    )


def _counts(store: SequenceStore) -> np.ndarray:
    """int64 [items], the interactions with each."""
    return np.bincount(store.items, minlength=store.num_items + 1)[1:]


def _moments(users: np.ndarray, times: np.ndarray) -> np.ndarray:
    """int64 [interactions], ascending numbers that those of a user at the same time share."""
    return np.cumsum((np.diff(users, prepend=0) != 0) | (np.diff(times, prepend=times[0]) != 0))


def _tied(moments: np.ndarray, items: np.ndarray) -> np.ndarray:
    """bool [interactions], whether another item was had at the same moment."""
    begins = np.flatnonzero(np.diff(moments, prepend=-1))
    several = np.minimum.reduceat(items, begins) < np.maximum.reduceat(items, begins)
    return several[moments]


def _again(groups: np.ndarray, items: np.ndarray) -> np.ndarray:
    """bool [interactions], whether the item came before in its group."""
    again = np.ones(len(items), bool)
    pairs = groups * (int(items.max()) + 1) + items
    again[np.unique(pairs, return_index=True)[1]] = False
    return again
