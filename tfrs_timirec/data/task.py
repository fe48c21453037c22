"""What a training learns from and is judged by."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from tfrs_timirec.config import Settings
from tfrs_timirec.data.instances import (
    Instances,
    evaluation_instances,
    training_instances,
    untouched_items,
)
from tfrs_timirec.data.sampling import UntouchedItems
from tfrs_timirec.data.splits import Split, split_of
from tfrs_timirec.data.store import SequenceStore
from tfrs_timirec.errors import UserError
from tfrs_timirec.memory import check_memory


@dataclass(frozen=True, eq=False)
class Task:
    """The sequences of some users, split, with the negatives of the evaluation.

    Args:
        store: The users' sequences, without times if the system reads none.
        split: Which interactions train, which validate and which test.
        max_length: L, the longest history.
        negatives: int32 [users, n], fixed items that the user never touched, 0 for none.
        chosen: int64, the training instances that are used; None for all.
    """

    store: SequenceStore
    split: Split
    max_length: int
    negatives: np.ndarray
    chosen: np.ndarray | None = None

    @classmethod
    def of(cls, store: SequenceStore, settings: Settings, reads_times: bool) -> "Task":
        """The task that settings make of sequences.

        Args:
            store: The users' sequences.
            settings: The split, L, and the number of negatives and their seed.
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
        needed = 4 * store.num_users * settings.evaluation.negatives
        what = f"Drawing {settings.evaluation.negatives:,} negatives for {store.num_users:,} users"
        check_memory(needed, what, "evaluation.negatives")
        negatives = untouched_items(store).draw_sets(
            settings.evaluation.negatives, np.random.default_rng(settings.seed)
        )
        read = store if reads_times else replace(store, times=None)
        return cls(read, split, settings.model.history_length, negatives)

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
        return targets.chosen(np.flatnonzero(targets.end > targets.begin))

    @cached_property
    def test(self) -> Instances:
        """The test targets."""
        return evaluation_instances(self.store, self.split, "test", self.max_length)

    @cached_property
    def is_new(self) -> np.ndarray:
        """bool [users], who had no interaction in the training part."""
        return self.split.training_end == self.store.offsets[:-1]

    @cached_property
    def counts(self) -> np.ndarray:
        """int64 [items], the interactions of each item in the training part."""
        places = np.arange(len(self.store.items))
        users = np.repeat(np.arange(self.store.num_users), np.diff(self.store.offsets))
        trained = self.store.items[places < self.split.training_end[users]]
        return np.bincount(trained, minlength=self.store.num_items + 1)[1:]

    def for_catalogue(self, num_items: int) -> "Task":
        """The task for a recommender that knows only the first items of the catalogue.

        Further ones are padding in histories, no negatives, and as targets the item 0.

        Args:
            num_items: How many it knows.
        """
        store = self.store
        known = replace(
            store,
            items=np.where(store.items > num_items, 0, store.items),
            item_ids=store.item_ids.slice(0, num_items),
        )
        negatives = np.where(self.negatives > num_items, 0, self.negatives)
        return replace(self, store=known, negatives=negatives)
