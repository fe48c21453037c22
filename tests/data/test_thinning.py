"""Histories without some of their items: what stays, in what order, and what follows it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.stores import store_of
from tfrs_timirec.config import settings_named
from tfrs_timirec.data.task import Share, Task

LENGTH, ITEMS = 6, 500
# Each item comes once, so that an item tells its place; a time is 7 times its item.
lengths = st.lists(st.integers(2, 20), min_size=1, max_size=20)


def task_of(lengths: list[int], unit: str, item_dropout: float) -> Task:
    ends = np.cumsum(lengths)
    users = [
        list(range(end - length + 1, end + 1)) for end, length in zip(ends, lengths, strict=True)
    ]
    times = [[7 * item for item in items] for items in users]
    named = {"unit": unit, "item_dropout": item_dropout, "history_length": LENGTH}
    return Task.of(
        store_of(users, ITEMS, times),
        settings_named("tisasrec", {**named, "split": "none", "negatives": 2}),
        reads_times=True,
    )


def both(lengths, unit):
    """The batches of an epoch as they are, and thinned."""
    task = task_of(lengths, unit, 0.4)
    whole = replace(task, item_dropout=0.0).batches(4 * LENGTH, np.random.default_rng(0))
    return list(whole), list(task.batches(4 * LENGTH, np.random.default_rng(0)))


def staying(row: np.ndarray) -> list[int]:
    items = row[row > 0].tolist()
    assert row[: len(items)].tolist() == items
    return items


@given(lengths, st.sampled_from(["instance", "user"]))
def test_what_stays_is_in_order_with_its_times(lengths, unit):
    for batch in task_of(lengths, unit, 0.4).batches(4 * LENGTH, np.random.default_rng(0)):
        assert batch["history"].dtype == np.int32 and batch["times"].dtype == np.int64
        assert batch["positive"].dtype == np.int32 and batch["weight"].dtype == np.float32
        np.testing.assert_array_equal(batch["times"], 7 * batch["history"].astype(np.int64))
        for row in batch["history"]:
            items = staying(row)
            assert items and items == sorted(items) and items[-1] - items[0] < LENGTH


@given(lengths)
def test_each_target_keeps_a_history_of_what_came_before_it(lengths):
    whole, thin = both(lengths, "instance")
    # The first batch: later ones are of another draw.
    np.testing.assert_array_equal(thin[0]["positive"], whole[0]["positive"])
    for before, row in zip(whole[0]["history"], thin[0]["history"], strict=True):
        assert set(staying(row)) <= set(staying(before))


@given(lengths)
def test_the_targets_of_a_window_are_its_items_that_stay_and_the_one_after_it(lengths):
    whole, thin = both(lengths, "user")
    before, after = whole[0], thin[0]
    for row in range(len(before["history"])):
        items, targets = staying(after["history"][row]), staying(after["positive"][row])
        assert set(items) <= set(staying(before["history"][row]))
        assert targets == [*items[1:], staying(before["positive"][row])[-1]]
        real = before["weight"][row].any()
        assert after["weight"][row].tolist() == [
            float(real and place < len(items)) for place in range(len(after["history"][row]))
        ]


def test_the_share_that_is_left_out():
    task = task_of([LENGTH + 1] * 70, "user", 0.25)
    batches = task.batches(70 * LENGTH, np.random.default_rng(0))
    counts = np.concatenate([np.count_nonzero(batch["history"], axis=1) for batch in batches])
    assert counts.mean() == pytest.approx(0.75 * LENGTH, rel=0.1)


@pytest.mark.parametrize("unit", ["instance", "user"])
def test_another_epoch_leaves_out_others_and_the_same_one_the_same(unit):
    task = task_of([9, 12, 5, 7], unit, 0.5)

    def epoch(seed):
        batches = task.batches(4 * LENGTH, np.random.default_rng(seed))
        return [tuple(sorted(map(tuple, batch["history"]))) for batch in batches]

    assert epoch(1) == epoch(1)
    assert epoch(1) != epoch(2)


def test_workers_leave_out_the_same():
    task = task_of([9, 12, 5, 7], "instance", 0.5)
    (whole,) = task.batches(64, np.random.default_rng(3))
    halves = [next(task.batches(64, np.random.default_rng(3), Share(rank, 2))) for rank in (0, 1)]
    joined = np.concatenate([half["history"] for half in halves])
    np.testing.assert_array_equal(joined, whole["history"])
