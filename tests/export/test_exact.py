"""The exact search by groups of a large catalogue."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import examples
from tests.ties import scores, sorted_beginning
from tfrs_timirec.export import retrieval
from tfrs_timirec.export.retrieval import ExactSearch, best_by_groups
from tfrs_timirec.export.settings import ExportSettings


@examples(100)
@given(scores(4, 70), st.data())
def test_groups_change_nothing(scores, data):
    """Ties included, of which whole numbers have many."""
    count = data.draw(st.integers(1, scores.shape[1]))
    found, places = best_by_groups(tf.constant(scores), tf.constant(count))
    expected_places, expected = sorted_beginning(scores, count)
    np.testing.assert_array_equal(places, expected_places)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("vectors", [1, 3])
@pytest.mark.parametrize("count", [1, 20, 500])
def test_a_large_catalogue_is_answered_like_a_small_one(monkeypatch, vectors, count):
    rng = np.random.default_rng(0)
    items = tf.constant(rng.integers(-2, 3, (500, 4)), tf.float32)
    queries = tf.constant(rng.integers(-2, 3, (9, vectors, 4)), tf.float32)
    search = ExactSearch(items, ExportSettings())
    expected = search(queries, tf.constant(count))
    monkeypatch.setattr(retrieval, "GROUPED", 500)
    for found, wanted in zip(search(queries, tf.constant(count)), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
