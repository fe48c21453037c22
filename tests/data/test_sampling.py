import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tfrs_timirec.data.sampling import UntouchedItems


@st.composite
def _touches(draw):
    """The number of items, and the items that each user touched, repeats included."""
    num_items = draw(st.integers(1, 8))
    one_user = st.lists(st.integers(1, num_items), max_size=12)
    return num_items, draw(st.lists(one_user, min_size=1, max_size=5))


def _build(num_items, touched):
    users = np.repeat(np.arange(len(touched)), [len(items) for items in touched])
    items = np.array([item for items in touched for item in items], np.int32)
    shuffled = np.random.default_rng(0).permutation(len(items))
    return UntouchedItems(users[shuffled], items[shuffled], len(touched), num_items)


def _complements(num_items, touched):
    return [sorted(set(range(1, num_items + 1)) - set(items)) for items in touched]


@given(_touches())
def test_nth_enumerates_the_complement_in_order(case):
    untouched, complements = _build(*case), _complements(*case)
    assert untouched.count.tolist() == [len(items) for items in complements]
    users = np.repeat(np.arange(len(complements)), untouched.count)
    n = np.array([i for items in complements for i in range(len(items))], np.int64)
    found = untouched.nth(users, n)
    assert found.dtype == np.int32
    assert found.tolist() == [item for items in complements for item in items]


@given(_touches(), st.integers(0, 2**32))
def test_a_draw_is_untouched_and_follows_its_seed(case, seed):
    untouched, complements = _build(*case), _complements(*case)
    users = np.repeat(np.flatnonzero(untouched.count), 20)
    drawn = untouched.draw(users, np.random.default_rng(seed))
    assert all(item in complements[user] for user, item in zip(users, drawn, strict=True))
    np.testing.assert_array_equal(drawn, untouched.draw(users, np.random.default_rng(seed)))


def _chi_square(drawn, expected_items):
    observed = np.bincount(drawn, minlength=max(expected_items) + 1)[expected_items]
    assert observed.sum() == len(drawn)
    expected = len(drawn) / len(expected_items)
    return ((observed - expected) ** 2 / expected).sum()


def test_draws_are_uniform():
    untouched = _build(10, [[1, 4, 5, 10], [2]])
    rng = np.random.default_rng(0)
    users = np.repeat([0, 1], 9000)
    drawn = untouched.draw(users, rng)
    # The 99.9 % quantiles of chi-square with 5 and 8 degrees of freedom.
    assert _chi_square(drawn[users == 0], [2, 3, 6, 7, 8, 9]) < 20.52
    assert _chi_square(drawn[users == 1], [1, 3, 4, 5, 6, 7, 8, 9, 10]) < 26.12


@given(_touches(), st.integers(1, 10), st.integers(0, 2**32))
def test_sets_are_distinct_untouched_and_zero_padded(case, size, seed):
    untouched, complements = _build(*case), _complements(*case)
    sets = untouched.draw_sets(size, np.random.default_rng(seed))
    assert (sets.dtype, sets.shape) == (np.int32, (len(complements), size))
    for row, items in zip(sets, complements, strict=True):
        drawn = row[: min(size, len(items))]
        assert len(set(drawn)) == len(drawn)
        assert set(drawn) <= set(items)
        assert (row[len(drawn) :] == 0).all()
    again = untouched.draw_sets(size, np.random.default_rng(seed))
    np.testing.assert_array_equal(sets, again)


def test_sets_are_uniform():
    untouched = _build(6, [[3]] * 6000)
    sets = untouched.draw_sets(2, np.random.default_rng(0))
    pairs = np.sort(sets, axis=1)
    codes, counts = np.unique(pairs[:, 0] * 10 + pairs[:, 1], return_counts=True)
    assert codes.tolist() == [12, 14, 15, 16, 24, 25, 26, 45, 46, 56]
    # The 99.9 % quantile of chi-square with 9 degrees of freedom.
    assert ((counts - 600) ** 2 / 600).sum() < 27.88


def test_who_has_touched_all_gets_none():
    untouched = _build(3, [[1, 2, 3], [2]])
    users = np.tile([0, 1], 50)
    drawn = untouched.draw(users, np.random.default_rng(0))
    assert drawn.dtype == np.int32
    assert set(drawn[users == 0]) == {0} and set(drawn[users == 1]) == {1, 3}
    sets = untouched.draw_sets(2, np.random.default_rng(0))
    assert sets[0].tolist() == [0, 0] and sorted(sets[1]) == [1, 3]
