"""How far counting gets: popularity, the newest item's neighbours, and the user's own items."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from tfrs_timirec.data.instances import Instances
from tfrs_timirec.data.task import Task
from tfrs_timirec.evaluation.metrics import BEYOND, metric

METRICS = ("HR@10", "NDCG@10")
# Neighbours are up to this many steps after an item, and count 60 divided by the steps: whole
# numbers, of which equal sums are equal.
_STEPS, _WEIGHT = 5, 60
# Pairs of neighbours, and items of histories, that are in memory at once.
_PAIRS, _HISTORIES = 2**24, 2**22


def baselines(task: Task) -> dict[str, dict[str, float]]:
    """What baselines reach on the test targets of users who are in the training part.

    `popularity` ranks by interactions in training. `neighbours` ranks by how often, in training,
    an item came up to five steps after the newest item of the history, each time weighed by one
    over the steps (the sequential rules of Ludewig and Jannach, UMUAI 2018), and equals by
    popularity. Both rank the whole catalogue less the history, and a tie counts against the
    target, as in `tfrs_timirec.evaluation.ranking`. `repeat` ranks the user's own items, the
    newest first, and no others.

    Args:
        task: The sequences and their split.

    Returns:
        `METRICS` by baseline; nothing where there is no such user.
    """
    items = _Items(task.counts)
    nobody = _Neighbours(np.zeros(0, np.int64), np.zeros(0, np.int8), items.as_popular)
    users, first = [], 0
    ranks: dict[str, list[np.ndarray]] = {"popularity": [], "repeat": [], "neighbours": []}
    for part in items.parts(task):
        tested = _tested(part)
        users.append(first + tested.users)
        first += part.store.num_users
        ranks["popularity"].append(nobody.ranks(tested))
        ranks["repeat"].append(_repeat_ranks(part, tested))
        ranks["neighbours"].append(np.zeros(len(tested), np.int64))
    for begin, end in items.blocks():
        neighbours = _Neighbours(*_pairs(task, items, begin, end), items.as_popular)
        for found, part in zip(ranks["neighbours"], items.parts(task), strict=True):
            tested = _tested(part)
            newest = tested.items[tested.end - 1]
            rows = np.flatnonzero((begin <= newest) & (newest < end))
            found[rows] = neighbours.ranks(tested.chosen(rows))
    everybody = np.concatenate(users)
    if not len(everybody):
        return {}
    return {
        name: {m: float(metric(m, np.concatenate(of), everybody).mean()) for m in METRICS}
        for name, of in ranks.items()
    }


class _Items:
    """The catalogue, numbered anew from 1, the most popular item first.

    Args:
        counts: int64 [items], the interactions of each in training.
    """

    def __init__(self, counts: np.ndarray):
        order = np.argsort(-counts, kind="stable")
        self._counts = counts[order]
        self._number = np.zeros(len(counts) + 1, np.int32)
        self._number[order + 1] = np.arange(1, len(counts) + 1)
        as_popular = np.searchsorted(-self._counts, -self._counts, "right")
        # int64 [items + 1], how many items are as popular as each, or more.
        self.as_popular = np.concatenate([[0], as_popular])

    def parts(self, task: Task) -> Iterator[Task]:
        """The parts of a task, in these numbers."""
        for part in task.parts():
            yield replace(part, store=replace(part.store, items=self._number[part.store.items]))

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Ranges of items, each of as many as memory can hold the neighbours of."""
        before = np.cumsum(self._counts) - self._counts
        begins = 1 + np.unique(before * _STEPS // _PAIRS, return_index=True)[1]
        yield from zip(begins, [*begins[1:], len(self._counts) + 1], strict=True)


class _Neighbours:
    """How much some items are followed by others, and the order that this gives each one's.

    Args:
        pairs: int64 [n], of an item and one that followed it, as `_pairs` numbers them.
        weights: int8 [n], what each counts; those of equal pairs are added up.
        as_popular: Of `_Items`.
    """

    def __init__(self, pairs: np.ndarray, weights: np.ndarray, as_popular: np.ndarray):
        self._as_popular, self._stride = as_popular, len(as_popular)
        pairs, inverse = np.unique(pairs, return_inverse=True)
        weights = np.bincount(inverse, weights, len(pairs)).astype(np.int64)
        item, popular = pairs // self._stride, as_popular[pairs % self._stride]
        order = np.lexsort((popular, -weights, item))
        sorted_by = np.stack([item, weights, popular])[:, order]
        # Where the run of equals ends that each one is in.
        ends = np.flatnonzero(np.append((np.diff(sorted_by) != 0).any(axis=0), True)[: len(pairs)])
        ranks = np.empty(len(pairs), np.int64)
        ranks[order] = (
            1 + ends[np.searchsorted(ends, np.arange(len(pairs)))] - np.searchsorted(item, item)
        )
        # The last one stands for all pairs that there are not.
        self._pairs = np.append(pairs, np.iinfo(np.int64).max)
        self._weights, self._ranks = np.append(weights, 0), np.append(ranks, 0)

    def ranks(self, tested: Instances) -> np.ndarray:
        """Counts the candidates that rank as high as each target or higher, int64 [targets]."""
        ranks = np.empty(len(tested), np.int64)
        sizes = np.cumsum(tested.part_end - tested.begin)
        chunks = np.flatnonzero(np.diff(sizes // _HISTORIES)) + 1
        for rows in np.split(np.arange(len(tested)), chunks):
            some = tested.chosen(rows)
            newest, target = some.items[some.end - 1].astype(np.int64), some.positives
            popular = self._as_popular[target]
            pair = self._find(newest, target)
            weight = self._weights[pair]
            less_popular = np.searchsorted(self._pairs, (newest + 1) * self._stride) - (
                np.searchsorted(self._pairs, newest * self._stride + popular, "right")
            )
            above = np.where(weight > 0, self._ranks[pair], popular + less_popular)
            of, item = some.no_candidates(np.arange(len(some)))
            other = self._weights[self._find(newest[of], item)]
            counted = (other > weight[of]) | ((other == weight[of]) & (item <= popular[of]))
            ranks[rows] = above - np.bincount(of[counted], minlength=len(some))
        return ranks

    def _find(self, item: np.ndarray, other: np.ndarray) -> np.ndarray:
        pair = item * self._stride + other
        place = np.searchsorted(self._pairs, pair)
        return np.where(self._pairs[place] == pair, place, len(self._pairs) - 1)


def _pairs(task: Task, items: _Items, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs in training of an item in a range and one that follows it, and what each counts."""
    pairs, weights = [], []
    for part in items.parts(task):
        store = part.store
        places = np.flatnonzero((begin <= store.items) & (store.items < end))
        owners = np.searchsorted(store.offsets, places, "right") - 1
        for step in range(1, _STEPS + 1):
            inside = places[places + step < part.split.training_end[owners]]
            pair = store.items[inside].astype(np.int64) * len(items.as_popular)
            pairs.append(pair + store.items[inside + step])
            weights.append(np.full(len(inside), _WEIGHT // step, np.int8))
    return np.concatenate(pairs), np.concatenate(weights)


def _tested(part: Task) -> Instances:
    return part.test.chosen(np.flatnonzero(~part.is_new[part.test.users]))


def _repeat_ranks(part: Task, tested: Instances) -> np.ndarray:
    """The user's items that came after each target in the history, int64 [targets].

    Other targets are not counted; a target that the history lacks is beyond all cutoffs.
    """
    store = part.store
    stride = store.num_items + 1
    owners = store.owners
    history = np.flatnonzero(np.arange(len(store.items)) < part.split.validation_end[owners])
    pairs = owners[history] * stride + store.items[history]
    targets = tested.users * stride + tested.positives
    had, newest = np.unique(pairs[::-1], return_index=True)
    newest = history[len(pairs) - 1 - newest]
    rivals = np.zeros(len(store.items) + 1, np.int64)
    rivals[newest[~np.isin(had, targets)] + 1] = 1
    before = np.cumsum(rivals)
    place = np.searchsorted(had, targets).clip(max=len(had) - 1)
    after = before[tested.end] - before[newest[place]]
    return np.where(had[place] == targets, after, BEYOND)
