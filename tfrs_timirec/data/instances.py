"""The training instances, and the histories of the validation and test targets."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from tfrs_timirec.data.sampling import UntouchedItems
from tfrs_timirec.data.splits import Split
from tfrs_timirec.data.store import SequenceStore

# Widths of batches, as shares of L. Most histories are short; each width is compiled for itself.
WIDTHS = (0.1, 0.2, 0.4, 0.6, 1.0)


@dataclass(frozen=True, eq=False)
class Instances:
    """Targets, each with the at most L items before it or before its part of the split.

    Args:
        items: int32 [interactions], all users' items, one user after the other.
        users: int64 [n], the user of each target.
        begin: int64 [n], where that user's items begin in `items`.
        end: int64 [n], one past the history in `items`.
        target: int64 [n], where each target is in `items`.
        part_end: int64 [n], one past what is no candidate beside the target: the history, and all
            of the user's targets in the same part of the split.
        max_length: L.
        times: int64 [interactions], when each of `items` was interacted with; None if unknown.
    """

    items: np.ndarray
    users: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    target: np.ndarray
    part_end: np.ndarray
    max_length: int
    times: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.target)

    @cached_property
    def start(self) -> np.ndarray:
        """int64 [n], where each history begins in `items`."""
        return np.maximum(self.begin, self.end - self.max_length)

    @cached_property
    def positives(self) -> np.ndarray:
        """int32 [n], the target items."""
        return self.items[self.target]

    def chosen(self, rows: np.ndarray) -> "Instances":
        """Some of the instances: those with the numbers `rows`, int [m]."""
        return replace(
            self,
            users=self.users[rows],
            begin=self.begin[rows],
            end=self.end[rows],
            target=self.target[rows],
            part_end=self.part_end[rows],
        )

    def with_history(self) -> "Instances":
        """Those that have anything before them."""
        return self.chosen(np.flatnonzero(self.end > self.begin))

    def histories(self, chosen: np.ndarray, width: int) -> np.ndarray:
        """The histories of the chosen instances, oldest item first, zeros after the newest.

        Args:
            chosen: int [m], which instances.
            width: Columns, at least the longest of their histories.

        Returns:
            int32 [m, width].
        """
        return self._of_history(self.items, chosen, width)

    def inputs(self, chosen: np.ndarray, width: int) -> dict[str, np.ndarray]:
        """What a user tower takes.

        Args:
            chosen: int [m], which instances.
            width: As for `histories`.

        Returns:
            `history` int32 [m, width] and, if the times are known, `times` int64 [m, width], when
            its items were interacted with, zeros likewise.
        """
        inputs = {"history": self.histories(chosen, width)}
        if self.times is not None:
            inputs["times"] = self._of_history(self.times, chosen, width)
        return inputs

    def _of_history(self, values, chosen, width, later=0):
        index = self.start[chosen, None] + np.arange(width)
        inside = index < self.end[chosen, None]
        found = np.zeros(index.shape, values.dtype)
        found[inside] = values[index[inside] + later]
        return found

    def next_items(self, chosen: np.ndarray, width: int) -> np.ndarray:
        """The items that follow those of `histories`: int32 [m, width]."""
        return self._of_history(self.items, chosen, width, later=1)

    def no_candidates(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The distinct items of the history, not only the newest L, and the user's targets.

        Args:
            chosen: int [m], which instances.

        Returns:
            int64 [n], rows from 0 to m - 1, and int64 [n], an item index of each row.
        """
        begin = self.begin[chosen]
        length = self.part_end[chosen] - begin
        rows = np.repeat(np.arange(len(chosen)), length)
        first = np.cumsum(length) - length
        index = np.arange(len(rows)) - first[rows] + begin[rows]
        stride = int(self.items.max(initial=0)) + 1
        pairs = np.unique((rows * stride + self.items[index])[self.items[index] > 0])
        return pairs // stride, pairs % stride

    def widths(self) -> np.ndarray:
        """int64 [n]: each history's length, rounded up to one of at most five widths."""
        return rounded_up(self.end - self.start, self.max_length)

    def batches(
        self, size: int | Callable[[int], int], rng: np.random.Generator | None = None
    ) -> Iterator[tuple[np.ndarray, int]]:
        """All instances in batches of one width each, so that little of a batch is padding.

        What a width leaves over from full batches goes on to the next width; only one batch may
        be short.

        Args:
            size: Instances a batch, perhaps by width.
            rng: Shuffles the instances and the batches; without it their order is by width.

        Yields:
            int64 [at most size], the instances of a batch, and the width of their histories.
        """
        order = np.arange(len(self)) if rng is None else rng.permutation(len(self))
        widths = self.widths()[order]
        batches, left = [], order[:0]
        for width in np.unique(widths):
            ready = np.concatenate([left, order[widths == width]])
            rows = size(width) if callable(size) else size
            full = len(ready) // rows * rows
            batches += [(batch, int(width)) for batch in ready[:full].reshape(-1, rows)]
            left = ready[full:]
        if len(left):
            batches.append((left, int(width)))
        if rng is not None:
            rng.shuffle(batches)
        yield from batches


def rounded_up(lengths: np.ndarray, max_length: int) -> np.ndarray:
    """The width of the batch that a history is in.

    Args:
        lengths: int64 [n], of histories.
        max_length: L, the largest.

    Returns:
        int64 [n], at most five different ones.
    """
    widths = np.ceil(np.multiply(WIDTHS, max_length)).astype(np.int64)
    return widths[np.searchsorted(widths, lengths)]


def training_instances(store: SequenceStore, split: Split, max_length: int) -> Instances:
    """Every position but the first of each user's training part.

    Args:
        store: The users' sequences.
        split: Where the training parts end.
        max_length: L, the longest history.
    """
    begin = store.offsets[:-1]
    users, target = positions(begin + 1, split.training_end)
    times = store.times
    return Instances(
        store.items, users, begin[users], target, target, target + 1, max_length, times
    )


def positions(first: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All whole numbers of a range for each user.

    Args:
        first: int64 [users], where each range begins.
        end: int64 [users], one past its end.

    Returns:
        int64 [n], the user of each number, and int64 [n], the numbers.
    """
    count = np.maximum(end - first, 0)
    users = np.repeat(np.arange(len(count)), count)
    return users, np.arange(len(users)) - (np.cumsum(count) - count - first)[users]


def training_batches(
    instances: Instances, negatives: np.ndarray, size: int, rng: np.random.Generator
) -> Iterator[dict[str, np.ndarray]]:
    """An epoch's inputs of the loss, shuffled; each batch has `size` rows.

    Args:
        instances: The training instances.
        negatives: int32 [n], the item to tell each target from, 0 for none.
        size: Rows a batch.
        rng: Shuffles.

    Yields:
        `history` int32 [size, width], `times` int64 [size, width] if the instances have them,
        `positive` and `negative` int32 [size], and `weight` float32 [size], 0 for rows that only
        fill the batch up.
    """
    for chosen, width in instances.batches(size, rng):
        rows = np.resize(chosen, size)
        yield {
            **instances.inputs(rows, width),
            "positive": instances.positives[rows],
            "negative": negatives[rows],
            "weight": (np.arange(size) < len(chosen)).astype(np.float32),
        }


def evaluation_instances(
    store: SequenceStore, split: Split, part: Literal["validation", "test"], max_length: int
) -> Instances:
    """The distinct targets of each user in a part; the history is all that comes before the part.

    Args:
        store: The users' sequences.
        split: Where the parts end.
        part: Which one.
        max_length: L, the longest history.
    """
    begin = split.training_end if part == "validation" else split.validation_end
    end = split.validation_end if part == "validation" else store.offsets[1:]
    users, target = positions(begin, end)
    # An item that comes again in the part is one target; unknown items, which are 0, are several.
    items = store.items[target]
    pairs = np.where(items > 0, users * (store.num_items + 1) + items, -1 - target)
    distinct = np.sort(np.unique(pairs, return_index=True)[1])
    users, target = users[distinct], target[distinct]
    return Instances(
        store.items,
        users,
        store.offsets[users],
        begin[users],
        target,
        end[users],
        max_length,
        store.times,
    )


def whole_histories(store: SequenceStore, users: np.ndarray, max_length: int) -> Instances:
    """Everything that users have had, with no target: what their next items are asked with.

    Args:
        store: The users' sequences.
        users: int64 [n], which users.
        max_length: L, the longest history.
    """
    begin, end = store.offsets[users], store.offsets[users + 1]
    return Instances(store.items, users, begin, end, end, end, max_length, store.times)


def untouched_items(store: SequenceStore, ends: np.ndarray | None = None) -> UntouchedItems:
    """The items outside what each user touched.

    Args:
        store: The users' sequences.
        ends: int64 [users], where what counts as touched ends, as the training part for the
            negatives of the loss; None counts everything, for the negatives of the evaluation.
    """
    users, places = positions(store.offsets[:-1], store.offsets[1:] if ends is None else ends)
    return UntouchedItems(users, store.items[places], store.num_users, store.num_items)
