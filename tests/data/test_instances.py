"""The vectorised instances against plain Python, on random stores and splits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.stores import store_of
from tfrs_timirec.data.instances import (
    evaluation_instances,
    training_batches,
    training_instances,
    untouched_items,
    whole_histories,
)
from tfrs_timirec.data.splits import Split

NUM_ITEMS = 9
max_lengths = st.integers(1, 13)


@st.composite
def cases(draw, smallest=0):
    """Users' items, 0 where one is unknown, and where the training and validation parts end."""
    users, cuts = [], []
    for _ in range(draw(st.integers(1, 8))):
        users.append(draw(st.lists(st.integers(smallest, NUM_ITEMS), min_size=1, max_size=14)))
        ends = st.integers(0, len(users[-1]))
        cuts.append(sorted(draw(st.tuples(ends, ends))))
    return users, cuts


def _store(users):
    """The n-th interaction of all has the time 100 + n."""
    count = iter(range(100, 10_000))
    return store_of(users, NUM_ITEMS, [[next(count) for _ in items] for items in users])


def _split(store, cuts):
    ends = store.offsets[:-1, None] + np.array(cuts)
    return Split(*ends.T)


def _expected(users, cuts, part):
    """(user, items of the history, target, items that are no candidates) of each instance."""
    found = []
    for user, (items, (training, validation)) in enumerate(zip(users, cuts, strict=True)):
        if part == "training":
            found += [(user, items[:t], items[t], items[: t + 1]) for t in range(1, training)]
            continue
        begin, end = (training, validation) if part == "validation" else (validation, len(items))
        for place in range(begin, end):
            if items[place] == 0 or items[place] not in items[begin:place]:
                found.append((user, items[:begin], items[place], items[:end]))
    return found


def _instances(case, part, max_length):
    users, cuts = case
    store = _store(users)
    split = _split(store, cuts)
    if part == "training":
        return training_instances(store, split, max_length)
    return evaluation_instances(store, split, part, max_length)


parts = pytest.mark.parametrize("part", ["training", "validation", "test"])


@parts
@given(cases(), max_lengths)
def test_targets_and_histories(part, case, max_length):
    instances, expected = _instances(case, part, max_length), _expected(*case, part)
    assert len(instances) == len(expected)
    assert instances.users.tolist() == [user for user, *_ in expected]
    assert instances.positives.tolist() == [target for _, _, target, _ in expected]
    for width in (max_length, max_length + 2):
        histories = instances.histories(np.arange(len(instances)), width)
        assert (histories.dtype, histories.shape) == (np.int32, (len(expected), width))
        for row, (_, before, *_) in zip(histories.tolist(), expected, strict=True):
            newest = before[-max_length:]
            assert row == newest + [0] * (width - len(newest))


@parts
@given(cases(), max_lengths)
def test_inputs_are_the_histories_with_their_times(part, case, max_length):
    instances = _instances(case, part, max_length)
    chosen = np.arange(len(instances))[::-1]
    inputs = instances.inputs(chosen, max_length)
    assert list(inputs) == ["history", "times"]
    np.testing.assert_array_equal(inputs["history"], instances.histories(chosen, max_length))
    assert inputs["times"].dtype == np.int64
    for row, times in zip(chosen, inputs["times"].tolist(), strict=True):
        first, end = instances.start[row], instances.end[row]
        assert times == [*range(100 + first, 100 + end), *[0] * (max_length - (end - first))]


@parts
@given(cases(), max_lengths, st.randoms(use_true_random=False))
def test_no_candidates_are_the_whole_history_and_the_users_targets(part, case, max_length, random):
    instances, expected = _instances(case, part, max_length), _expected(*case, part)
    chosen = [i for i in range(len(expected)) if random.random() < 0.7]
    random.shuffle(chosen)
    rows, items = instances.no_candidates(np.array(chosen, np.int64))
    pairs = list(zip(rows.tolist(), items.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    assert set(pairs) == {
        (row, item) for row, i in enumerate(chosen) for item in expected[i][3] if item
    }


@parts
@given(cases(), max_lengths, st.randoms(use_true_random=False))
def test_chosen_instances_are_the_same(part, case, max_length, random):
    instances = _instances(case, part, max_length)
    rows = np.array([i for i in range(len(instances)) if random.random() < 0.5], np.int64)
    random.shuffle(rows)
    some = instances.chosen(rows)
    everyone = np.arange(len(rows))
    assert len(some) == len(rows)
    np.testing.assert_array_equal(some.users, instances.users[rows])
    np.testing.assert_array_equal(some.positives, instances.positives[rows])
    np.testing.assert_array_equal(some.widths(), instances.widths()[rows])
    for found, expected in zip(
        some.no_candidates(everyone), instances.no_candidates(rows), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    for name, values in instances.inputs(rows, max_length).items():
        np.testing.assert_array_equal(some.inputs(everyone, max_length)[name], values)


@parts
@given(cases(), max_lengths, st.integers(1, 9), st.none() | st.integers(0, 2**32))
def test_batches_cover_each_instance_once(part, case, max_length, size, seed):
    instances, expected = _instances(case, part, max_length), _expected(*case, part)

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
    instances = _instances(([[1, 2, 3, 4, 5] * 10], [(48, 49)]), "training", 5)
    first, second = (
        np.concatenate([batch for batch, _ in instances.batches(8, np.random.default_rng(seed))])
        for seed in (0, 1)
    )
    assert first.tolist() != second.tolist()
    assert first.tolist() != sorted(first.tolist())


@given(cases(smallest=1), st.integers(1, 9), st.integers(0, 2**32))
def test_training_batches_are_full_and_weigh_each_instance_once(case, size, seed):
    instances = _instances(case, "training", 5)
    negatives = np.arange(1000, 1000 + len(instances), dtype=np.int32)
    seen = []
    for inputs in training_batches(instances, negatives, size, np.random.default_rng(seed)):
        count = int(inputs["weight"].sum())
        assert count
        assert {len(values) for values in inputs.values()} == {size}
        assert inputs["weight"].dtype == np.float32
        assert inputs["weight"].tolist() == [1] * count + [0] * (size - count)
        which = inputs["negative"] - 1000
        width = inputs["history"].shape[1]
        np.testing.assert_array_equal(inputs["positive"], instances.positives[which])
        for name, values in instances.inputs(which, width).items():
            np.testing.assert_array_equal(inputs[name], values)
        seen += which[:count].tolist()
    assert sorted(seen) == list(range(len(instances)))


@given(cases(), max_lengths, st.randoms(use_true_random=False))
def test_whole_histories_are_everything_and_everything_is_no_candidate(case, max_length, random):
    users, _ = case
    chosen = [user for user in range(len(users)) if random.random() < 0.7]
    random.shuffle(chosen)
    instances = whole_histories(_store(users), np.array(chosen, np.int64), max_length)
    everyone = np.arange(len(chosen))
    assert instances.users.tolist() == chosen
    for user, row in zip(chosen, instances.histories(everyone, 13).tolist(), strict=True):
        newest = users[user][-max_length:]
        assert row == newest + [0] * (13 - len(newest))
    rows, items = instances.no_candidates(everyone)
    pairs = set(zip(rows.tolist(), items.tolist(), strict=True))
    assert pairs == {(row, item) for row, user in enumerate(chosen) for item in users[user]} - {
        (row, 0) for row in range(len(chosen))
    }


def test_without_times_there_are_none():
    store = store_of([[1, 2, 3]], NUM_ITEMS)
    assert list(whole_histories(store, np.array([0]), 4).inputs(np.array([0]), 4)) == ["history"]


@given(cases(smallest=1))
def test_untouched_items_of_the_loss_leave_the_held_out_items_in(case):
    users, cuts = case
    store = _store(users)
    split = _split(store, cuts)
    for ends, cut in ((split.training_end, True), (None, False)):
        untouched = untouched_items(store, ends)
        for user, items in enumerate(users):
            touched = items[: cuts[user][0]] if cut else items
            expected = sorted(set(range(1, NUM_ITEMS + 1)) - set(touched))
            n = np.arange(untouched.count[user])
            assert untouched.nth(np.full(len(n), user), n).tolist() == expected
