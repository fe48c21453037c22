"""How much of an index is searched: what the target needs."""

import re

import numpy as np
import pytest
import tensorflow as tf

from tests.export.conftest import Loaded
from tfrs_timirec.errors import UserError
from tfrs_timirec.export.publish import publish
from tfrs_timirec.export.retrieval import ScannSearch
from tfrs_timirec.export.settings import ExportSettings

ITEMS, SIZE, USERS = 3_000, 16, 200
RNG = np.random.default_rng(0)
CENTRES = RNG.standard_normal((30, SIZE), np.float32)


def around_centres(*shape: int) -> np.ndarray:
    return CENTRES[RNG.integers(len(CENTRES), size=shape)] + RNG.standard_normal(
        (*shape, SIZE), np.float32
    )


CATALOGUE, QUERIES, OTHERS = (
    around_centres(ITEMS),
    around_centres(USERS, 2),
    around_centres(USERS, 2),
)


def searcher(**settings) -> ScannSearch:
    return ScannSearch(CATALOGUE, tf.constant(QUERIES), ExportSettings(**settings))


def recall(search: ScannSearch, queries: np.ndarray) -> float:
    """Of the exact best 100, by NumPy."""
    exact = np.argsort(-np.einsum("umd,id->umi", queries, CATALOGUE).max(axis=1), axis=1)[:, :100]
    _, found = search(tf.constant(queries), tf.constant(100))
    pairs = zip(found.numpy() - 1, exact, strict=True)
    return np.mean([len(np.intersect1d(*pair)) for pair in pairs]) / 100


def test_the_target_is_reached_with_no_more_than_it_needs():
    low, high = searcher(target_recall=0.7), searcher(target_recall=0.99)
    for search, target in ((low, 0.7), (high, 0.99)):
        assert search.recall >= target
        assert recall(search, QUERIES) == pytest.approx(search.recall, abs=1e-3)
        # Others like them find as much, but for chance.
        assert recall(search, OTHERS) >= target - 0.01
    assert low.reordering < high.reordering
    assert low.leaves_to_search < high.leaves_to_search
    assert low.recall < high.recall


def test_leaves_with_too_few_items_leave_places_without_one():
    settings = ExportSettings(leaves=100, leaves_to_search=1, reordering=1)
    search = ScannSearch(CATALOGUE, tf.constant(QUERIES[:, :1]), settings)
    counts = []
    for query in OTHERS[:50, :1]:
        scores, items = (found.numpy() for found in search(query[None], tf.constant(100)))
        assert scores.shape == items.shape == (1, 100)
        there = np.isfinite(scores)
        assert (items[there] > 0).all() and (scores[~there] == -np.inf).all()
        counts.append(there.sum())
    assert min(counts) < 100


def test_what_is_set_stays_and_the_other_is_found():
    search = searcher(leaves=40, reordering=7)
    assert (search.leaves, search.reordering) == (40, 7)
    assert search.recall >= 0.95
    search = searcher(leaves_to_search=ITEMS)
    assert search.leaves_to_search == ITEMS
    assert search.recall >= 0.95


def test_the_best_is_taken_where_none_reaches_the_target():
    search = searcher(reordering=1, target_recall=1.0)
    assert search.recall < 1
    # In the same index: each one that is built has other leaves.
    for leaves in (1, 16, search.leaves):
        search.leaves_to_search = leaves
        assert search.recall >= recall(search, QUERIES) - 1e-3


@pytest.mark.parametrize("equal", [ITEMS, 400])
def test_which_of_equal_items_is_found_does_not_matter(equal):
    items = CATALOGUE.copy()
    items[:equal] = items[0]
    queries = np.repeat(items[:1, None], USERS, axis=0) + 0.01 * QUERIES[:, :1]
    assert ScannSearch(items, tf.constant(queries), ExportSettings()).recall >= 0.95


@pytest.mark.long
def test_int8_vectors_take_less_memory_and_the_scores_are_exact(recommenders, exports, tmp_path):
    settings = ExportSettings(k=5, quantize="int8")
    (version,), _ = publish(recommenders["comirec"], tmp_path, settings, ["scann"])
    plain = exports["comirec"] / "scann" / "1"
    sizes = [
        sum(file.stat().st_size for file in folder.glob("variables/*.data*"))
        for folder in (version, plain)
    ]
    assert sizes[0] < sizes[1]
    history = recommenders["comirec"].sequences.item_ids[:8].to_numpy().reshape(4, 2)
    exact, found = Loaded(exports["comirec"] / "exact" / "1"), Loaded(version)
    expected = exact(history=history)["scores"]
    np.testing.assert_allclose(found(history=history)["scores"], expected, rtol=1e-5)


def test_the_card_says_what_is_reached(recommenders, exports, tmp_path):
    said = (
        r"searches (\S+) or more; (\d+) candidates .* "
        r"finds (\d\.\d{3}) of the exact best 100 of 256 users"
    )
    card = (exports["comirec"] / "scann" / "1" / "model_card.md").read_text()
    assert float(re.search(said, card)[3]) >= 0.95
    assert "not reached" not in card
    settings = ExportSettings(k=5, leaves_to_search=1, reordering=1)
    (version,), _ = publish(recommenders["comirec"], tmp_path, settings, ["scann"])
    card = (version / "model_card.md").read_text()
    found = re.search(said, card)
    assert found.group(1, 2) == ("1", "1")
    assert float(found[3]) < 0.95
    assert "the target of 0.95 was not reached, and this is the best" in card


@pytest.mark.parametrize("wrong", [{"target_recall": 1.5}, {"quantize": "bfloat16"}])
def test_settings_out_of_range(recommenders, tmp_path, wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        publish(recommenders["comirec"], tmp_path, ExportSettings(**wrong), ["scann"])
    assert not list(tmp_path.iterdir())
