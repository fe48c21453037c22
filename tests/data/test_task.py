"""What a training learns from and is judged by, of users old and new."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.stores import store_of
from tfrs_timirec.config import settings_named
from tfrs_timirec.data.store import Shard
from tfrs_timirec.data.task import Task
from tfrs_timirec.errors import UserError

ITEMS = 9
# Interactions at the times 0 to 9; validation from 4, test from 7.
logs = st.lists(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, ITEMS)), min_size=1, max_size=12).map(
        sorted
    ),
    min_size=1,
    max_size=6,
).filter(lambda users: {0, 9} <= {time for user in users for time, _ in user})
TEMPORAL = settings_named(
    "popularity",
    {"split": "temporal", "validation_from": 4, "test_from": 7, "negatives": 4, "seed": 3},
)


def _store(users):
    return store_of(
        [[item for _, item in user] for user in users],
        ITEMS,
        [[time for time, _ in user] for user in users],
    )


def _task(users):
    return Task.of(_store(users), TEMPORAL, reads_times=False)


@given(logs)
def test_counts_and_new_users_are_of_the_training_part(users):
    task = _task(users)
    trained = [[item for time, item in user if time < 4] for user in users]
    everything = [item for items in trained for item in items]
    assert task.counts.tolist() == [everything.count(item) for item in range(1, ITEMS + 1)]
    assert task.is_new.tolist() == [not items for items in trained]
    for user, items in enumerate(trained):
        assert task.untouched.count[user] == ITEMS - len(set(items))


@given(logs)
def test_all_are_tested_and_those_with_a_history_validate(users):
    task = _task(users)
    for targets, begin, end in ((task.validation, 4, 7), (task.test, 7, 10)):
        expected = [
            (number, item)
            for number, user in enumerate(users)
            if end == 10 or user[0][0] < begin
            for item in dict.fromkeys(item for time, item in user if begin <= time < end)
        ]
        found = zip(targets.users.tolist(), targets.positives.tolist(), strict=True)
        assert list(found) == expected


@given(logs)
def test_negatives_are_untouched_and_hang_on_the_seed(users):
    task = _task(users)
    np.testing.assert_array_equal(task.negatives, _task(users).negatives)
    assert task.negatives.shape == (len(users), 4)
    for drawn, user in zip(task.negatives.tolist(), users, strict=True):
        touched = {item for _, item in user}
        kept = [item for item in drawn if item]
        assert len(set(kept)) == len(kept) == min(4, ITEMS - len(touched))
        assert not touched & set(kept)


@given(logs, st.booleans())
def test_a_shortage_of_negatives_is_told(users, sharded):
    task = _task(users)
    if sharded:
        shards = tuple(Shard(1, len(user)) for user in users)
        store = replace(task.store, shards=shards)
        task = replace(task, store=store, whole=store)
    left = [ITEMS - len({item for _, item in user}) for user in users]
    short = [count for count in left if count < 4]
    assert task.shortage == (
        f"For {len(short)} of {len(users)} users there are fewer than 4 negatives "
        f"(evaluation.negatives): they get all the items that they never touched, {min(short)} at "
        "least."
        if short
        else None
    )


@given(logs, st.integers(1, ITEMS))
def test_a_smaller_catalogue(users, known):
    task = _task(users)
    smaller = task.for_catalogue(known)
    assert smaller.store.num_items == known
    assert smaller.store.item_ids.equals(task.store.item_ids.slice(0, known))

    def known_or_0(items):
        return np.where(items > known, 0, items).tolist()

    assert smaller.negatives.tolist() == known_or_0(task.negatives)
    # A known item is one target of a user; each time that an unknown one comes is another.
    expected = []
    for number, user in enumerate(users):
        history, wanted = (
            known_or_0(np.array([item for time, item in user if (time >= 7) is late], int))
            for late in (False, True)
        )
        history = [item for item in history if item]
        row = history + [0] * (20 - len(history))
        expected += [
            (number, item, row)
            for place, item in enumerate(wanted)
            if item == 0 or item not in wanted[:place]
        ]
    test = smaller.test
    histories = test.histories(np.arange(len(test)), 20).tolist()
    found = zip(test.users.tolist(), test.positives.tolist(), histories, strict=True)
    assert list(found) == expected
    assert smaller.counts.tolist() == task.counts[:known].tolist()


USERS = [[(0, 1), (1, 2), (5, 3), (8, 4)]]


def test_times_are_given_to_systems_that_read_them():
    task = Task.of(_store(USERS), TEMPORAL, reads_times=True)
    assert list(task.test.inputs(np.array([0]), 3)) == ["history", "times"]
    assert list(_task(USERS).test.inputs(np.array([0]), 3)) == ["history"]


def test_a_system_that_reads_times_needs_them():
    store = store_of([[1, 2, 3]], ITEMS)
    with pytest.raises(UserError) as error:
        Task.of(store, settings_named("tisasrec", {}), reads_times=True)
    assert str(error.value) == (
        "The system tisasrec needs times, but the log was read without: set data.time_column to "
        "its column of times, or choose another model.system."
    )


def test_the_longest_history_is_the_settings():
    task = Task.of(_store(USERS), settings_named("sasrec", {"history_length": 2}), False)
    assert task.test.histories(np.array([0]), 2).tolist() == [[2, 3]]
