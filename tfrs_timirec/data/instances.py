"""Leave-one-out: the training instances, and the histories of the validation and test targets."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from tfrs_timirec.data.sampling import UntouchedItems
from tfrs_timirec.data.store import SequenceStore

Split = Literal["validation", "test"]

# Widths of batches, as shares of L. Most histories are short; each width is compiled for itself.
WIDTHS = (0.1, 0.2, 0.4, 0.6, 1.0)


@dataclass(frozen=True, eq=False)
class Instances:
    """Targets, each with the at most L items before it.

    Args:
        items: int32 [interactions], all users' items, one user after the other.
        users: int64 [n], the user of each target.
        begin: int64 [n], where that user's items begin in `items`.
        target: int64 [n], where each target is in `items`, one past its history.
        max_length: L.
        times: int64 [interactions], when each of `items` was interacted with; None if unknown.
    """

    items: np.ndarray
    users: np.ndarray
    begin: np.ndarray
    target: np.ndarray
    max_length: int
    times: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.target)

    @cached_property
    def start(self) -> np.ndarray:
        """int64 [n], where each history begins in `items`."""
        return np.maximum(self.begin, self.target - self.max_length)

    @cached_property
    def positives(self) -> np.ndarray:
        """int32 [n], the target items."""
        return self.items[self.target]

    def histories(self, chosen: np.ndarray, width: int) -> np.ndarray:
        """The histories of the chosen instances, oldest item first, zeros after the newest.

        Args:
            chosen: int [m], which instances.
            width: Columns, at least the longest of their histories.

        Returns:
            int32 [m, width].
        """
        return self._before_the_target(self.items, chosen, width)

    def history_times(self, chosen: np.ndarray, width: int) -> np.ndarray:
        """When the items of `histories` were interacted with: int64 [m, width], zeros likewise."""
        return self._before_the_target(self.times, chosen, width)

    def _before_the_target(self, values, chosen, width):
        index = self.start[chosen, None] + np.arange(width)
        inside = index < self.target[chosen, None]
        return np.where(inside, values[np.where(inside, index, 0)], 0)

    def everything_before(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The target and the distinct items of the user before it, not only the newest L.

        Args:
            chosen: int [m], which instances.

        Returns:
            int64 [n], rows from 0 to m - 1, and int64 [n], an item index of each row.
        """
        begin = self.begin[chosen]
        length = self.target[chosen] + 1 - begin
        rows = np.repeat(np.arange(len(chosen)), length)
        first = np.cumsum(length) - length
        index = np.arange(len(rows)) - first[rows] + begin[rows]
        stride = int(self.items.max()) + 1
        pairs = np.unique(rows * stride + self.items[index])
        return pairs // stride, pairs % stride

    def widths(self) -> np.ndarray:
        """int64 [n]: each history's length, rounded up to one of at most five widths."""
        widths = np.ceil(np.multiply(WIDTHS, self.max_length)).astype(np.int64)
        return widths[np.searchsorted(widths, self.target - self.start)]

    def batches(
        self, size: int, rng: np.random.Generator | None = None
    ) -> Iterator[tuple[np.ndarray, int]]:
        """All instances in batches of one width each, so that little of a batch is padding.

        What a width leaves over from full batches goes on to the next width; only one batch may
        be short.

        Args:
            size: Instances a batch.
            rng: Shuffles the instances and the batches; without it their order is by width.

        Yields:
            int64 [at most size], the instances of a batch, and the width of their histories.
        """
        order = np.arange(len(self)) if rng is None else rng.permutation(len(self))
        widths = self.widths()[order]
        batches, left = [], order[:0]
        for width in np.unique(widths):
            ready = np.concatenate([left, order[widths == width]])
            full = len(ready) // size * size
            batches += [(batch, int(width)) for batch in ready[:full].reshape(-1, size)]
            left = ready[full:]
        if len(left):
            batches.append((left, int(width)))
        if rng is not None:
            rng.shuffle(batches)
        yield from batches


def training_instances(store: SequenceStore, max_length: int) -> Instances:
    """Every position but the first of the training part, which ends before the last two items.

    Args:
        store: The users' sequences.
        max_length: L, the longest history.
    """
    first, end = store.offsets[:-1], store.offsets[1:] - 2
    count = np.maximum(end - first - 1, 0)
    users = np.repeat(np.arange(store.num_users), count)
    target = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    target += first[users] + 1
    return Instances(store.items, users, first[users], target, max_length, store.times)


def training_batches(
    instances: Instances, negatives: np.ndarray, size: int, rng: np.random.Generator
) -> Iterator[tuple[dict[str, np.ndarray], int]]:
    """An epoch's inputs of the loss, shuffled; each batch has `size` rows.

    Args:
        instances: The training instances.
        negatives: int32 [n], the item to tell each target from.
        size: Rows a batch.
        rng: Shuffles.

    Yields:
        `history` int32 [size, width], `times` int64 [size, width] if the instances have them,
        `positive` and `negative` int32 [size], and `weight` float32 [size], 0 for rows that only
        fill the batch up; and how many do not.
    """
    for chosen, width in instances.batches(size, rng):
        rows = np.resize(chosen, size)
        inputs = {
            "history": instances.histories(rows, width),
            "positive": instances.positives[rows],
            "negative": negatives[rows],
            "weight": (np.arange(size) < len(chosen)).astype(np.float32),
        }
        if instances.times is not None:
            inputs["times"] = instances.history_times(rows, width)
        yield inputs, len(chosen)


def evaluation_instances(store: SequenceStore, split: Split, max_length: int) -> Instances:
    """Each user's validation target (the last item but one) or test target (the last).

    Args:
        store: The users' sequences.
        split: Which target.
        max_length: L, the longest history.
    """
    target = store.offsets[1:] - {"validation": 2, "test": 1}[split]
    return Instances(
        store.items,
        np.arange(store.num_users),
        store.offsets[:-1],
        target,
        max_length,
        store.times,
    )


def untouched_items(store: SequenceStore, split: Literal["training", "all"]) -> UntouchedItems:
    """The items outside each user's training part, or outside everything the user ever touched.

    Args:
        store: The users' sequences.
        split: `training` for the negatives of the loss, `all` for those of the evaluation.
    """
    length = np.diff(store.offsets)
    users = np.repeat(np.arange(store.num_users), length)
    from_the_end = store.offsets[1:][users] - np.arange(len(users))
    kept = from_the_end > (2 if split == "training" else 0)
    return UntouchedItems(users[kept], store.items[kept], store.num_users, store.num_items)
