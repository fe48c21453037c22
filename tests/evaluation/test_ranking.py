"""Ranks against NumPy, with vectors of small whole numbers: exact scores and many ties."""

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from tfrs_timirec.config import ModelSettings
from tfrs_timirec.data.instances import evaluation_instances, untouched_items
from tfrs_timirec.data.store import SequenceStore
from tfrs_timirec.errors import UserError
from tfrs_timirec.evaluation.metrics import metric
from tfrs_timirec.evaluation.ranking import Ranker
from tfrs_timirec.models.base import SequentialRecommender

ITEMS, WIDTH, LENGTH = 40, 4, 3


class Fixed(SequentialRecommender):
    """Given item vectors [items, D]; the queries [items + 1, M, D] are of the first item."""

    def __init__(self, items, queries):
        settings = ModelSettings(embedding_size=items.shape[1])
        super().__init__(len(items), settings, initial_stddev=0.0, seed=0)
        self._items = tf.constant(items, tf.float32)
        self._queries = tf.constant(queries, tf.float32)

    def query_vectors(self, history):
        return tf.gather(self._queries, history[:, 0])

    def item_vectors(self):
        return self._items


def _store(users):
    return SequenceStore(
        offsets=np.cumsum([0] + [len(items) for items in users]),
        items=np.concatenate(users).astype(np.int32),
        times=None,
        user_ids=pa.array(range(len(users))),
        item_ids=pa.array(range(ITEMS)),
    )


@pytest.fixture(scope="module")
def users():
    """More than one block of users; most histories are longer than L, some repeat an item."""
    rng = np.random.default_rng(0)
    return [rng.integers(1, ITEMS + 1, rng.integers(3, 9)) for _ in range(150)]


@pytest.fixture(scope="module")
def negatives(users):
    """Eight negatives a user, the last few of some users left out."""
    rng = np.random.default_rng(1)
    drawn = untouched_items(_store(users), "all").draw_sets(8, rng)
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
    instances = evaluation_instances(_store(users), "test", LENGTH)
    found = Ranker(Fixed(*vectors)).ranks(instances, negatives)
    assert found.dtype == np.int64
    assert found.tolist() == _expected(users, "test", *vectors, negatives)


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("num_queries", [1, 3])
def test_full_catalogue_ranks(users, num_queries, split):
    vectors = _vectors(num_queries)
    instances = evaluation_instances(_store(users), split, LENGTH)
    found = Ranker(Fixed(*vectors)).ranks(instances, None)
    assert found.dtype == np.int64
    assert found.tolist() == _expected(users, split, *vectors)


@pytest.mark.parametrize("num_queries", [1, 3])
def test_constant_scores_earn_nothing(users, negatives, num_queries):
    # Equal vectors whose products are rounded: each item's score must be rounded alike.
    rng = np.random.default_rng(3)
    items = np.tile(rng.normal(size=64), (ITEMS, 1))
    constant = Fixed(items, rng.normal(size=(ITEMS + 1, num_queries, 64)))
    instances = evaluation_instances(_store(users), "test", LENGTH)
    sampled = Ranker(constant).ranks(instances, negatives)
    assert sampled.tolist() == np.count_nonzero(negatives, axis=1).tolist()
    full = Ranker(constant).ranks(instances, None)
    assert full.tolist() == [ITEMS - len(set(sequence.tolist())) for sequence in users]
    assert metric("HR@20", full).sum() == 0


def _descending():
    """Item 1 scores highest, the last item lowest, for everyone."""
    return Fixed(np.arange(ITEMS, 0, -1)[:, None], np.ones((ITEMS + 1, 1, 1)))


def test_zeros_are_no_candidates():
    instances = evaluation_instances(_store([[5, 6, 30], [5, 6, 30]]), "test", LENGTH)
    negatives = np.array([[0, 0, 0, 0], [1, 2, 31, 0]], np.int32)
    assert Ranker(_descending()).ranks(instances, negatives).tolist() == [0, 2]


def test_items_older_than_the_history_are_no_candidates():
    instances = evaluation_instances(_store([[1, 2, 1, 7, 8, 9, 3], [7, 8, 9, 3]]), "test", LENGTH)
    assert Ranker(_descending()).ranks(instances, None).tolist() == [0, 2]


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("everywhere", [False, True])
def test_scores_that_are_not_numbers_are_told(users, negatives, everywhere, sampled):
    items, queries = (vectors.astype(float) for vectors in _vectors(3))
    if everywhere:
        items[:] = np.nan
    else:  # one query vector of the users whose history begins with one item
        queries[users[0][max(0, len(users[0]) - 1 - LENGTH)], 1] = np.nan
    instances = evaluation_instances(_store(users), "test", LENGTH)
    with pytest.raises(UserError, match=r"Fixed are not numbers \(NaN\)"):
        Ranker(Fixed(items, queries)).ranks(instances, negatives if sampled else None)
