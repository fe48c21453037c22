"""The vectorised instances against plain Python, on random stores."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrs_timirec.data.instances import evaluation_instances, training_instances, untouched_items
from tfrs_timirec.data.store import SequenceStore

NUM_ITEMS = 9
sequences = st.lists(
    st.lists(st.integers(1, NUM_ITEMS), min_size=3, max_size=14), min_size=1, max_size=8
)
max_lengths = st.integers(1, 13)
random_case = settings(deadline=None)


def _store(users):
    return SequenceStore(
        offsets=np.cumsum([0] + [len(items) for items in users]),
        items=np.array([item for items in users for item in items], np.int32),
        times=None,
        user_ids=pa.array(range(len(users))),
        item_ids=pa.array(range(NUM_ITEMS)),
    )


def _expected(users, split):
    """(user, items before the target, target) of each instance."""
    last = {"validation": 2, "test": 1}
    return [
        (user, items[:t], items[t])
        for user, items in enumerate(users)
        for t in (range(1, len(items) - 2) if split == "training" else [len(items) - last[split]])
    ]


def _instances(users, split, max_length):
    store = _store(users)
    if split == "training":
        return training_instances(store, max_length)
    return evaluation_instances(store, split, max_length)


splits = pytest.mark.parametrize("split", ["training", "validation", "test"])


@splits
@random_case
@given(sequences, max_lengths)
def test_targets_and_histories(split, users, max_length):
    instances, expected = _instances(users, split, max_length), _expected(users, split)
    assert len(instances) == len(expected)
    assert instances.users.tolist() == [user for user, _, _ in expected]
    assert instances.positives.tolist() == [target for _, _, target in expected]
    for width in (max_length, max_length + 2):
        histories = instances.histories(np.arange(len(instances)), width)
        assert (histories.dtype, histories.shape) == (np.int32, (len(expected), width))
        for row, (_, before, _) in zip(histories.tolist(), expected, strict=True):
            newest = before[-max_length:]
            assert row == newest + [0] * (width - len(newest))


@splits
@random_case
@given(sequences, max_lengths, st.randoms(use_true_random=False))
def test_everything_before_is_the_target_and_all_that_precedes_it(split, users, max_length, random):
    instances, expected = _instances(users, split, max_length), _expected(users, split)
    chosen = [i for i in range(len(expected)) if random.random() < 0.7]
    random.shuffle(chosen)
    rows, items = instances.everything_before(np.array(chosen, np.int64))
    pairs = list(zip(rows.tolist(), items.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    assert set(pairs) == {
        (row, item) for row, i in enumerate(chosen) for item in [*expected[i][1], expected[i][2]]
    }


@splits
@random_case
@given(sequences, max_lengths, st.integers(1, 9), st.none() | st.integers(0, 2**32))
def test_batches_cover_each_instance_once(split, users, max_length, size, seed):
    instances = _instances(users, split, max_length)
    expected = _expected(users, split)

    def batches():
        return list(instances.batches(size, None if seed is None else np.random.default_rng(seed)))

    found = batches()
    covered = [i for batch, _ in found for i in batch.tolist()]
    assert sorted(covered) == list(range(len(expected)))
    for batch, width in found:
        longest = max(len(expected[i][1][-max_length:]) for i in batch)
        assert longest <= width <= max_length
        # No item is lost at that width.
        kept = instances.histories(batch, width)
        full = instances.histories(batch, max_length)
        assert (np.count_nonzero(kept, axis=1) == np.count_nonzero(full, axis=1)).all()
    assert len({width for _, width in found}) <= 5
    sizes = [len(batch) for batch, _ in found]
    if seed is None:
        assert all(n == size for n in sizes[:-1])
    assert sum(n != size for n in sizes) <= 1
    assert all(n <= size for n in sizes)
    for (batch, width), (again, width_again) in zip(found, batches(), strict=True):
        assert width == width_again
        np.testing.assert_array_equal(batch, again)


def test_another_seed_is_another_order():
    instances = training_instances(_store([[1, 2, 3, 4, 5] * 10]), 5)
    first, second = (
        np.concatenate([batch for batch, _ in instances.batches(8, np.random.default_rng(seed))])
        for seed in (0, 1)
    )
    assert first.tolist() != second.tolist()
    assert first.tolist() != sorted(first.tolist())


@random_case
@given(sequences)
def test_untouched_items_of_the_loss_leave_the_held_out_items_in(users):
    store = _store(users)
    for split, cut in (("training", -2), ("all", None)):
        untouched = untouched_items(store, split)
        for user, items in enumerate(users):
            expected = sorted(set(range(1, NUM_ITEMS + 1)) - set(items[:cut]))
            n = np.arange(untouched.count[user])
            assert untouched.nth(np.full(len(n), user), n).tolist() == expected
