"""The best items against brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.stores import store_of
from tests.evaluation.fixed import Fixed
from tests.examples import examples
from tests.models.variants import INTERESTS, ITEMS, LENGTH, SIZE, make
from tests.ties import scores, sorted_beginning
from tfrs_timirec import retrieval
from tfrs_timirec.data.instances import whole_histories
from tfrs_timirec.retrieval import Retrieval, exact_best, top_k

COUNTS = np.random.default_rng(0).permutation(np.arange(3, ITEMS + 3))


def _fixed():
    """Vectors of small whole numbers: exact scores and many ties."""
    rng = np.random.default_rng(1)
    return Fixed.of(
        rng.integers(-2, 3, (ITEMS, SIZE)), rng.integers(-2, 3, (ITEMS + 1, INTERESTS, SIZE))
    )


SYSTEMS = {"fixed": _fixed()} | {
    variant: make(variant)
    for variant in ("popularity", "gru4rec", "tisasrec", "comirec", "timirec", "timirec_mind")
}
SYSTEMS["popularity"].learn_counts(COUNTS)
RETRIEVALS = {name: Retrieval(system, COUNTS) for name, system in SYSTEMS.items()}

users_items = st.lists(st.lists(st.integers(1, ITEMS), max_size=LENGTH + 4), min_size=1, max_size=9)


def _histories(users):
    times = [[10**9 + 60 * place**2 for place in range(len(items))] for items in users]
    store = store_of(users, ITEMS, times)
    return whole_histories(store, np.arange(len(users)), LENGTH)


def _expected_scores(system, histories, users, allowed):
    """float32 [users, items], −inf for what may not be recommended."""
    queries = system.query_vectors(histories.inputs(np.arange(len(users)), LENGTH)).numpy()
    scores = np.einsum("umd,id->umi", queries, system.item_vectors().numpy()).max(axis=1)
    for user, items in enumerate(users):
        if not items:
            scores[user] = COUNTS / COUNTS.sum()
        scores[user, [item - 1 for item in items]] = -np.inf
    scores[:, ~allowed] = -np.inf
    return scores


def test_histories_of_all_widths_have_one_trace(caplog):
    asked = Retrieval(SYSTEMS["timirec"], COUNTS)
    for width in range(1, LENGTH + 1):
        assert len([*asked.best(_histories([[width] * width]), 3, np.ones(ITEMS, bool), True)]) == 1
    assert "retracing" not in caplog.text
    assert asked._queries.experimental_get_tracing_count() == 1
    assert asked._origins.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("name", SYSTEMS)
@examples(15)
@given(
    users_items,
    st.integers(1, ITEMS),
    st.lists(st.booleans(), min_size=ITEMS, max_size=ITEMS) | st.just([True] * ITEMS),
)
def test_the_best_items_are_those_of_brute_force(name, users, k, allowed):
    allowed = np.array(allowed)
    histories = _histories(users)
    scores = _expected_scores(SYSTEMS[name], histories, users, allowed)
    seen = []
    for best in RETRIEVALS[name].best(histories, k, allowed):
        assert (best.items.dtype, best.scores.dtype) == (np.int32, np.float32)
        assert best.items.shape == best.scores.shape == (len(best.rows), k)
        assert best.interests is best.weights is best.attention is None
        for user, items, found in zip(best.rows, best.items, best.scores, strict=True):
            expected = -np.sort(-scores[user])[:k]
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
            kept = items[np.isfinite(expected)]
            assert (items[~np.isfinite(expected)] == 0).all()
            assert len(set(kept.tolist())) == len(kept)
            # An item's score is its own; where all are exact, the first of equal ones is first.
            own = scores[user, kept - 1]
            np.testing.assert_allclose(own, expected[: len(kept)], rtol=1e-5, atol=1e-5)
            if name == "fixed":
                order = np.argsort(-scores[user], kind="stable")[: len(kept)]
                assert kept.tolist() == (order + 1).tolist()
        seen += best.rows.tolist()
    assert sorted(seen) == list(range(len(users)))


@pytest.mark.parametrize("name", ["comirec", "timirec", "timirec_mind", "gru4rec"])
@examples(10)
@given(users_items, st.integers(1, ITEMS))
def test_where_the_best_items_come_from(name, users, k):
    system, histories = SYSTEMS[name], _histories(users)
    everything = np.ones(ITEMS, bool)
    given_by_tower = {
        name: values.numpy()
        for name, values in system.represent(
            histories.inputs(np.arange(len(users)), LENGTH)
        ).items()
    }
    vectors = system.item_vectors().numpy()
    plain = list(RETRIEVALS[name].best(histories, k, everything))
    explained = list(RETRIEVALS[name].best(histories, k, everything, explain=True))
    for best, without in zip(explained, plain, strict=True):
        np.testing.assert_array_equal(best.items, without.items)
        np.testing.assert_array_equal(best.scores, without.scores)
        assert best.interests.dtype == np.int32
        assert best.interests.shape == best.items.shape
        weights = given_by_tower["interest_weights"][best.rows]
        np.testing.assert_allclose(best.weights, weights, rtol=1e-5)
        width = best.attention.shape[1]
        attention = given_by_tower["attention"][best.rows]
        np.testing.assert_allclose(best.attention, attention[:, :width], rtol=1e-4, atol=1e-6)
        assert (attention[:, width:] == 0).all()
        for row, user in enumerate(best.rows):
            kept = best.items[row] > 0
            found = vectors[best.items[row, kept] - 1]
            interests = given_by_tower["interests"][user]
            # What each interest adds to the score of each item: [k, K].
            added = found @ interests.T * weights[row]
            chosen = np.take_along_axis(added, best.interests[row, kept, None], axis=1)[:, 0]
            np.testing.assert_allclose(chosen, added.max(axis=1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("users", [[[], []], [[], [], [4]]])
def test_a_user_without_a_history_gets_what_is_popular(users):
    """With its share as the score."""
    best = {
        int(user): (items, scores)
        for block in RETRIEVALS["timirec"].best(_histories(users), 3, np.ones(ITEMS, bool))
        for user, items, scores in zip(block.rows, block.items, block.scores, strict=True)
    }
    popular = np.argsort(-COUNTS)[:3]
    for user in (0, 1):
        assert best[user][0].tolist() == (popular + 1).tolist()
        np.testing.assert_allclose(best[user][1], COUNTS[popular] / COUNTS.sum(), rtol=1e-6)
    if len(users) > 2:
        assert best[2][0].tolist() != (popular + 1).tolist()


def test_many_users_have_several_blocks():
    rng = np.random.default_rng(3)
    users = [rng.integers(1, ITEMS + 1, rng.integers(0, 9)).tolist() for _ in range(700)]
    histories = _histories(users)
    allowed = rng.random(ITEMS) < 0.8
    scores = _expected_scores(SYSTEMS["fixed"], histories, users, allowed)
    blocks = list(RETRIEVALS["fixed"].best(histories, 5, allowed))
    assert len(blocks) > 2
    rows = np.concatenate([block.rows for block in blocks])
    assert sorted(rows.tolist()) == list(range(700))
    found = np.concatenate([block.items for block in blocks])
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :5] + 1
    np.testing.assert_array_equal(found, expected[rows])


@examples(100)
@given(st.integers(1, 3), st.integers(1, 40), st.integers(1, 9), st.data())
def test_blocks_of_items_change_nothing(vectors, count, block, data):
    """Whole numbers: many ties, of items in different blocks too."""
    k = data.draw(st.integers(1, count))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    queries = rng.integers(-1, 2, (4, vectors, 3)).astype(np.float32)
    items = rng.integers(-1, 2, (count, 3)).astype(np.float32)
    refused = rng.random((4, count)) < 0.3

    def change(scores, begin):
        scores[refused[:, begin : begin + scores.shape[1]]] = -np.inf

    scores = np.einsum("umd,id->umi", queries, items).max(axis=1)
    scores[refused] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrieval, "ITEMS_A_BLOCK", block)
        places, found = exact_best(queries, items, k, change)
    np.testing.assert_array_equal(places, order)
    np.testing.assert_array_equal(found, np.take_along_axis(scores, order, axis=1))
    assert found.dtype == np.float32


def test_equal_vectors_tie_wherever_they_are(monkeypatch):
    """In full blocks and in the last one, which is not: the first ones win, in their order."""
    monkeypatch.setattr(retrieval, "ITEMS_A_BLOCK", 64)
    rng = np.random.default_rng(5)
    items = np.repeat(rng.standard_normal((1, SIZE), np.float32), 203, axis=0)
    for users in (1, 3, 40):
        queries = rng.standard_normal((users, INTERESTS, SIZE), np.float32)
        places, scores = exact_best(queries, items, 70)
        assert (places == np.arange(70)).all()
        assert (np.ptp(scores, axis=1) == 0).all()


@examples(200)
@given(scores(5, 60), st.data())
def test_top_k_is_the_sorted_beginning(scores, data):
    k = data.draw(st.integers(1, scores.shape[1]))
    places, found = top_k(scores, k)
    expected_places, expected = sorted_beginning(scores, k)
    np.testing.assert_array_equal(places, expected_places)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.float32
