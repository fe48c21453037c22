"""Ranks against NumPy, with vectors of small whole numbers: exact scores and many ties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.stores import store_of
from tests.evaluation.fixed import Fixed
from tests.examples import examples
from tfrs_timirec.config import DataSettings
from tfrs_timirec.data.instances import evaluation_instances, untouched_items
from tfrs_timirec.data.splits import Split, split_of
from tfrs_timirec.errors import UserError
from tfrs_timirec.evaluation.metrics import metric
from tfrs_timirec.evaluation.ranking import Ranker

ITEMS, WIDTH, LENGTH = 40, 4, 3


def _targets(users, part, num_items=ITEMS):
    store = store_of(users, num_items)
    return evaluation_instances(store, split_of(store, DataSettings()), part, LENGTH)


@pytest.fixture(scope="module")
def users():
    """More than one block of users; most histories are longer than L, some repeat an item."""
    rng = np.random.default_rng(0)
    return [rng.integers(1, ITEMS + 1, rng.integers(3, 9)) for _ in range(150)]


@pytest.fixture(scope="module")
def negatives(users):
    """Eight negatives a user, the last few of some users left out."""
    rng = np.random.default_rng(1)
    drawn = untouched_items(store_of(users, ITEMS)).draw_sets(8, rng)
    return np.where(np.arange(8) < rng.integers(0, 9, (len(users), 1)), drawn, 0)


def _vectors(num_queries):
    rng = np.random.default_rng(2)
    return (
        rng.integers(-2, 3, (ITEMS, WIDTH)),
        rng.integers(-2, 3, (ITEMS + 1, num_queries, WIDTH)),
    )


def _expected(users, split, items, queries, negatives=None):
    ranks = []
    for user, sequence in enumerate(users):
        t = len(sequence) - {"validation": 2, "test": 1}[split]
        scores = (queries[sequence[max(0, t - LENGTH)]] @ items.T).max(axis=0)
        if negatives is None:
            candidates = set(range(1, ITEMS + 1)) - set(sequence[: t + 1].tolist())
        else:
            candidates = set(negatives[user].tolist()) - {0}
        ranks.append(sum(scores[i - 1] >= scores[sequence[t] - 1] for i in candidates))
    return ranks


@pytest.mark.parametrize("num_queries", [1, 3])
def test_sampled_ranks(users, negatives, num_queries):
    vectors = _vectors(num_queries)
    instances = _targets(users, "test")
    found = Ranker(Fixed.of(*vectors)).ranks(instances, negatives)
    assert found.dtype == np.int64
    assert found.tolist() == _expected(users, "test", *vectors, negatives)


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("num_queries", [1, 3])
def test_full_catalogue_ranks(users, num_queries, split):
    vectors = _vectors(num_queries)
    instances = _targets(users, split)
    found = Ranker(Fixed.of(*vectors)).ranks(instances, None)
    assert found.dtype == np.int64
    assert found.tolist() == _expected(users, split, *vectors)


def test_oracle_ranks_are_the_best_of_one_interest(users):
    items, queries = _vectors(3)
    found = Ranker(Fixed.of(items, queries)).oracle_ranks(_targets(users, "test"))
    alone = [_expected(users, "test", items, queries[:, k : k + 1]) for k in range(3)]
    assert found.tolist() == np.min(alone, axis=0).tolist()
    assert (found <= _expected(users, "test", items, queries)).all()


@pytest.mark.parametrize("num_queries", [1, 3])
def test_constant_scores_earn_nothing(users, negatives, num_queries):
    # Equal vectors whose products are rounded: each item's score must be rounded alike.
    rng = np.random.default_rng(3)
    items = np.tile(rng.normal(size=64), (ITEMS, 1))
    constant = Fixed.of(items, rng.normal(size=(ITEMS + 1, num_queries, 64)))
    instances = _targets(users, "test")
    sampled = Ranker(constant).ranks(instances, negatives)
    assert sampled.tolist() == np.count_nonzero(negatives, axis=1).tolist()
    full = Ranker(constant).ranks(instances, None)
    assert full.tolist() == [ITEMS - len(set(sequence.tolist())) for sequence in users]
    assert metric("HR@20", full).sum() == 0


def _all_others(users, num_items):
    """Each item from 3 on but the user's target."""
    return np.int32([[i for i in range(3, num_items + 1) if i != user[-1]] for user in users])


@pytest.mark.parametrize("num_queries", [1, 3])
@pytest.mark.parametrize(
    "num_items",
    [
        pytest.param(number, marks=[pytest.mark.long] * (number not in (33, 40, 47, 49, 63, 65)))
        for number in range(33, 66)
    ],
)
def test_equal_items_tie_wherever_they_are_in_the_catalogue(num_items, num_queries):
    # A processor computes the last columns of a product, those past a multiple of the width of
    # its registers, in another order.
    rng = np.random.default_rng(num_items)
    items = np.tile(rng.normal(size=64), (num_items, 1))
    model = Fixed.of(items, rng.normal(size=(num_items + 1, num_queries, 64)))
    users = [[1, 2, target] for target in range(3, num_items + 1)]
    negatives = _all_others(users, num_items)
    instances = _targets(users, "test", num_items)
    for candidates in (None, negatives):
        assert set(Ranker(model).ranks(instances, candidates)) == {num_items - 3}


@pytest.mark.parametrize("sampled", [False, True])
def test_what_is_further_apart_than_rounding_is_no_tie(sampled):
    items = np.ones((ITEMS, 64)) + np.arange(ITEMS)[::-1, None] * 2e-5
    model = Fixed.of(items, np.ones((ITEMS + 1, 1, 64)))
    users = [[1, 2, target] for target in range(3, ITEMS + 1)]
    negatives = _all_others(users, ITEMS)
    instances = _targets(users, "test")
    found = Ranker(model).ranks(instances, negatives if sampled else None)
    assert found.tolist() == list(range(ITEMS - 2))


def _descending():
    """Item 1 scores highest, the last item lowest, for everyone."""
    return Fixed.of(np.arange(ITEMS, 0, -1)[:, None], np.ones((ITEMS + 1, 1, 1)))


def test_zeros_are_no_candidates():
    instances = _targets([[5, 6, 30], [5, 6, 30]], "test")
    negatives = np.array([[0, 0, 0, 0], [1, 2, 31, 0]], np.int32)
    assert Ranker(_descending()).ranks(instances, negatives).tolist() == [0, 2]


def test_items_older_than_the_history_are_no_candidates():
    instances = _targets([[1, 2, 1, 7, 8, 9, 3], [7, 8, 9, 3]], "test")
    assert Ranker(_descending()).ranks(instances, None).tolist() == [0, 2]


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize(
    ("everywhere", "broken"), [(False, np.nan), (True, np.nan), (False, np.inf)]
)
def test_scores_that_are_not_numbers_are_told(users, negatives, everywhere, broken, sampled):
    items, queries = (vectors.astype(float) for vectors in _vectors(3))
    if everywhere:
        items[:] = broken
    else:  # one query vector of the users whose history begins with one item
        queries[users[0][max(0, len(users[0]) - 1 - LENGTH)], 1] = broken
    instances = _targets(users, "test")
    with pytest.raises(UserError, match=r"Fixed are not numbers \(NaN or infinite\)"):
        Ranker(Fixed.of(items, queries)).ranks(instances, negatives if sampled else None)


VECTORS = _vectors(2)
FIXED = Ranker(Fixed.of(*VECTORS))


@examples(20)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(1, ITEMS), max_size=6),
            st.lists(st.integers(1, ITEMS), max_size=6),
        ),
        min_size=1,
        max_size=20,
    ).filter(lambda users: any(targets for _, targets in users))
)
def test_other_targets_of_the_user_are_no_candidates(users):
    items, queries = VECTORS
    store = store_of([history + targets for history, targets in users], ITEMS)
    end = store.offsets[:-1] + [len(history) for history, _ in users]
    targets = evaluation_instances(store, Split(end, end), "test", LENGTH)
    expected, sampled = [], []
    negatives = untouched_items(store).draw_sets(5, np.random.default_rng(0))
    for user, (history, wanted) in enumerate(users):
        first = history[-LENGTH:][0] if history else 0
        scores = (queries[first] @ items.T).max(axis=0)
        among = set(range(1, ITEMS + 1)) - set(history) - set(wanted)
        for target in dict.fromkeys(wanted):
            expected.append(sum(scores[i - 1] >= scores[target - 1] for i in among))
            drawn = set(negatives[user].tolist()) - {0}
            sampled.append(sum(scores[i - 1] >= scores[target - 1] for i in drawn))
    assert FIXED.ranks(targets, None).tolist() == expected
    assert FIXED.ranks(targets, negatives).tolist() == sampled
