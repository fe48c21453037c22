"""What a training learns from and is judged by."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from tfrs_timirec.config import Settings
from tfrs_timirec.data.instances import (
    Instances,
    evaluation_instances,
    training_batches,
    training_instances,
    untouched_items,
)
from tfrs_timirec.data.sampling import UntouchedItems
from tfrs_timirec.data.splits import Split, split_of
from tfrs_timirec.data.store import SequenceStore
from tfrs_timirec.data.thinning import thinned
from tfrs_timirec.data.windows import num_window_batches, training_windows, window_batches
from tfrs_timirec.errors import UserError
from tfrs_timirec.memory import check_memory


class Share(NamedTuple):
    """One worker's share of the work of several.

    Args:
        rank: Which worker, from 0.
        count: Of how many.
    """

    rank: int
    count: int


ALL = Share(0, 1)


@dataclass(frozen=True, eq=False)
class Task:
    """The sequences of some users, split, with the negatives of the evaluation.

    Args:
        store: The users' sequences, without times if the system reads none.
        split: Which interactions train, which validate and which test.
        max_length: L, the longest history.
        whole: The same users with the whole catalogue, of which negatives are drawn.
        num_negatives: How many for each user, for the evaluation.
        seed: What they depend on.
        by_user: Whether a batch of the training holds users' windows, not instances.
        item_dropout: The share of the items of its histories that are left out.
        chosen: int64, the training instances that are used, one by one; None for all.
    """

    store: SequenceStore
    split: Split
    max_length: int
    whole: SequenceStore
    num_negatives: int
    seed: int | tuple[int, int]
    by_user: bool = False
    item_dropout: float = 0.0
    chosen: np.ndarray | None = None

    @classmethod
    def of(cls, store: SequenceStore, settings: Settings, reads_times: bool) -> "Task":
        """The task that settings make of sequences.

        Args:
            store: The users' sequences.
            settings: The split, L, the number of negatives and their seed, and what the training
                takes at once and leaves out.
            reads_times: Whether the system reads the times of a history.

        Raises:
            UserError: If the system needs times and there are none, the split is impossible, or
                memory cannot hold the negatives.
        """
        if reads_times and store.times is None:
            raise UserError(
                f"The system {settings.model.system} needs times, but the log was read without: "
                f"set data.time_column to its column of times, or choose another model.system."
            )
        split = split_of(store, settings.data)
        drawn = settings.evaluation.negatives
        most = max(shard.users for shard in store.shards) if store.shards else store.num_users
        what = f"Drawing {drawn:,} negatives for {most:,} users"
        check_memory(4 * most * drawn, what, "evaluation.negatives")
        read = store if reads_times else replace(store, times=None)
        length, training = settings.model.history_length, settings.training
        by_user, dropped = training.unit == "user", training.item_dropout
        return cls(read, split, length, store, drawn, settings.seed, by_user, dropped)

    def parts(self, rng: np.random.Generator | None = None, share: Share = ALL) -> Iterator["Task"]:
        """The task of the users of each shard, one after the other; itself where there is one.

        Args:
            rng: Shuffles the shards; without it they come in the order of the users.
            share: Whose; of several workers each has shards of its own, if there are enough.

        Yields:
            A task of which the users are numbered from 0.
        """
        if self._is_whole:
            yield self
            return
        numbers = np.arange(self.store.num_parts)
        if self._is_divided(share):
            numbers = numbers[share.rank :: share.count]
        ends = np.cumsum([shard.users for shard in self.store.shards])
        if rng is not None:
            rng.shuffle(numbers)
        for number in numbers:
            end = ends[number]
            users = slice(end - self.store.shards[number].users, end)
            begin = self.store.offsets[users.start]
            yield replace(
                self,
                store=self.store.part(number),
                split=Split(
                    self.split.training_end[users] - begin, self.split.validation_end[users] - begin
                ),
                whole=self.whole.part(number),
                seed=(self.seed, int(number)),
            )

    @property
    def _is_whole(self) -> bool:
        """Whether it is worked on in one part."""
        return self.store.num_parts == 1 or self.chosen is not None

    def _is_divided(self, share: Share) -> bool:
        """Whether each worker has shards of its own; else each reads all, and takes its rows."""
        if self._is_whole or not 1 < share.count <= self.store.num_parts:
            return False
        targets = [int(lengths.sum()) for lengths in self._lengths_of_parts]
        return all(any(targets[rank :: share.count]) for rank in range(share.count))

    @property
    def _lengths_of_parts(self) -> list[np.ndarray]:
        """int64 [users] of each part, the training instances of each user."""
        if self._is_whole:
            return [self._lengths]
        return np.split(self._lengths, np.cumsum([shard.users for shard in self.store.shards])[:-1])

    @property
    def num_training(self) -> int:
        """How many training instances there are."""
        if self.chosen is not None:
            return len(self.chosen)
        return int(self._lengths.sum())

    @property
    def _lengths(self) -> np.ndarray:
        """int64 [users], the training instances of each."""
        return np.maximum(self.split.training_end - self.store.offsets[:-1] - 1, 0)

    def num_batches(self, size: int, share: Share = ALL) -> int:
        """How many batches an epoch has; each shard may have a short one.

        Args:
            size: Instances a batch, of all workers.
            share: Of how many workers.
        """
        if self.chosen is not None:
            return math.ceil(len(self.chosen) / size)
        if not self._is_divided(share):
            return sum(
                self._num_batches(part, size, share.count) for part in self._lengths_of_parts
            )
        batches = [self._num_batches(part, size // share.count) for part in self._lengths_of_parts]
        return max(sum(batches[rank :: share.count]) for rank in range(share.count))

    def _num_batches(self, lengths: np.ndarray, size: int, multiple: int = 1) -> int:
        if not self.by_user:
            return math.ceil(lengths.sum() / size)
        return num_window_batches(lengths, self.max_length, _rows(size, multiple))

    def batches(
        self, size: int, rng: np.random.Generator, share: Share = ALL
    ) -> Iterator[dict[str, np.ndarray]]:
        """An epoch's inputs of the loss, with new negatives, shard by shard; all is shuffled.

        Only the instances of one shard are in memory.

        Args:
            size: Rows a batch, of all workers.
            rng: Shuffles and draws; the same for all workers.
            share: Whose rows; with shards of its own, a worker has as many batches as the one with
                the most, in the end of rows that weigh nothing.

        Yields:
            What `tfrs_timirec.data.instances.training_batches` does, or by user
            `tfrs_timirec.data.windows.window_batches`.
        """
        if not self._is_divided(share):
            for batch in self._thinned(self._batches(size, rng, share.count), rng):
                rows = len(batch["weight"]) // share.count
                mine = slice(share.rank * rows, (share.rank + 1) * rows)
                yield {name: value[mine] for name, value in batch.items()}
            return
        left = self.num_batches(size, share)
        # Or the negatives of all workers would be alike.
        rng = rng.spawn(share.count)[share.rank]
        for batch in self._thinned(self._batches(size // share.count, rng, share=share), rng):
            yield batch
            left -= 1
        for _ in range(left):
            yield {**batch, "weight": np.zeros_like(batch["weight"])}

    def _batches(self, size, rng, multiple=1, share=ALL):
        for part in self.parts(rng, share):
            if self.by_user and self.chosen is None:
                windows = training_windows(part.store, part.split, self.max_length)
                rows = _rows(size, multiple)
                yield from window_batches(windows, part.untouched, rows, rng)
                del windows
            else:
                negatives = part.untouched.draw(part.training.users, rng)
                yield from training_batches(part.training, negatives, size, rng)
                del negatives
            # Before those of the next shard are made.
            del part

    def _thinned(self, batches, rng):
        if not self.item_dropout:
            return batches
        return (thinned(batch, self.item_dropout, rng) for batch in batches)

    def validations(self, share: Share = ALL) -> Iterator[tuple[Instances, "Task"]]:
        """The validation targets of a worker's share of the users.

        Args:
            share: Whose.

        Yields:
            Targets, and the task of the users of their shard.
        """
        divided = self._is_divided(share)
        for part in self.parts(share=share):
            targets = part.validation
            if not divided:
                mine = targets.users % share.count == share.rank
                targets = targets.chosen(np.flatnonzero(mine))
            yield targets, part

    @property
    def has_negatives(self) -> bool:
        """Whether any training instance has an item to be told from."""
        return any((part.untouched.count > 0)[part.training.users].any() for part in self.parts())

    @cached_property
    def negatives(self) -> np.ndarray:
        """int32 [users, n], fixed items that each user never touched, 0 for none."""
        rng = np.random.default_rng(self.seed)
        negatives = untouched_items(self.whole).draw_sets(self.num_negatives, rng)
        negatives[negatives > self.store.num_items] = 0
        return negatives

    @property
    def shortage(self) -> str | None:
        """A sentence on users who have fewer negatives than are drawn; None if all have enough."""
        # Of a large catalogue the lengths of the sequences tell enough.
        if self.whole.num_items - np.diff(self.whole.offsets).max() >= self.num_negatives:
            return None
        left = np.concatenate([untouched_items(part.whole).count for part in self.parts()])
        short = left[left < self.num_negatives]
        if not len(short):
            return None
        return (
            f"For {len(short):,} of {len(left):,} users there are fewer than "
            f"{self.num_negatives:,} negatives (evaluation.negatives): they get all the items that "
            f"they never touched, {short.min():,} at least."
        )

    @cached_property
    def training(self) -> Instances:
        """The training instances."""
        instances = training_instances(self.store, self.split, self.max_length)
        return instances if self.chosen is None else instances.chosen(self.chosen)

    @cached_property
    def untouched(self) -> UntouchedItems:
        """The items that the negatives of the loss are drawn from."""
        return untouched_items(self.store, self.split.training_end)

    @cached_property
    def validation(self) -> Instances:
        """The validation targets of users that have a history."""
        targets = evaluation_instances(self.store, self.split, "validation", self.max_length)
        return targets.with_history()

    @cached_property
    def test(self) -> Instances:
        """The test targets."""
        return evaluation_instances(self.store, self.split, "test", self.max_length)

    @cached_property
    def is_new(self) -> np.ndarray:
        """bool [users], who had no interaction in the training part (of items that are known)."""
        return self.split.training_end == self.store.offsets[:-1]

    def check_tested(self) -> None:
        """Raises UserError if nobody is tested who has a history in the training part."""
        tested = self.store.offsets[1:] > self.split.validation_end
        if not (tested & ~self.is_new).any():
            raise UserError(
                "There is nothing to test on: of the users with interactions in the test part none "
                "has any of a known item in the training part; choose another split or log."
            )

    @cached_property
    def counts(self) -> np.ndarray:
        """int64 [items], the interactions of each item in the training part."""
        counts = np.zeros(self.store.num_items + 1, np.int64)
        for part in self.parts():
            store = part.store
            places = np.arange(len(store.items))
            users = store.owners
            trained = store.items[places < part.split.training_end[users]]
            counts += np.bincount(trained, minlength=len(counts))
        return counts[1:]

    def for_catalogue(self, num_items: int) -> "Task":
        """The task for a recommender that knows only the first items of the catalogue.

        Others are left out of histories, never negatives, and item 0 as targets of the test.

        Args:
            num_items: How many it knows.
        """
        store, split, shards = self.store, self.split, self.store.shards
        if num_items == store.num_items:
            return self
        items = np.where(store.items > num_items, 0, store.items)
        stays = (items > 0) | (np.arange(len(items)) >= split.validation_end[store.owners])
        place = np.concatenate([[0], np.cumsum(stays)])
        if shards:
            users = np.cumsum([0, *(shard.users for shard in shards)])
            left = np.diff(place[store.offsets[users]]).tolist()
            shards = tuple(
                shard._replace(interactions=n) for shard, n in zip(shards, left, strict=True)
            )
        known = replace(
            store,
            offsets=place[store.offsets],
            items=items[stays],
            times=None if store.times is None else store.times[stays],
            interests=None if store.interests is None else store.interests[stays],
            item_ids=store.item_ids.slice(0, num_items),
            shards=shards,
        )
        split = Split(place[split.training_end], place[split.validation_end])
        return replace(self, store=known, split=split)


def _rows(size: int, multiple: int) -> Callable[[int], int]:
    """How many windows of a width have at most `size` targets, as a multiple of a number."""
    return lambda width: size // width // multiple * multiple
