"""What a request asks to choose among, to leave out and to weigh, against brute force."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import examples
from tests.export.conftest import EXPORTED
from tests.export.truth import truth

LENGTH = 4
LEAST = np.iinfo(np.int64).min
systems = pytest.mark.parametrize("system", EXPORTED)
each = pytest.mark.parametrize(
    ("system", "name"), [(system, name) for system in EXPORTED for name in EXPORTED[system]]
)
models = pytest.mark.parametrize("name", ["exact", "scann"])


def rows(data, users, ids, padding, most):
    """Ids of each user, and the same in one width, with padding before and after."""
    lists = [data.draw(st.lists(ids, max_size=most)) for _ in range(users)]
    width = max(map(len, lists)) + data.draw(st.integers(0, 2))
    filled = []
    for found in lists:
        before = data.draw(st.integers(0, width - len(found)))
        after = width - len(found) - before
        filled.append([*[padding] * before, *found, *[padding] * after])
    return lists, np.array(filled, object).reshape(users, width)


def newest(history, known, values):
    """[users, L] of the values that belong to the newest known items; 0 after them."""
    array = np.zeros((len(history), LENGTH), np.int64)
    places = []
    for row, ids in enumerate(history):
        of_known = [place for place, item in enumerate(ids) if item in known][-LENGTH:]
        array[row, : len(of_known)] = [values[row][place] for place in of_known]
        places.append(of_known)
    return array, places


@each
@examples(40)
@given(data=st.data())
def test_the_best_of_what_is_left_come(recommenders, loaded, system, name, data):
    recommender, model = recommenders[system], loaded[system, name]
    catalogue = recommender.sequences.item_ids.to_pylist()
    known = {item: place for place, item in enumerate(catalogue)}
    is_text = isinstance(catalogue[0], str)
    padding = "" if is_text else data.draw(st.sampled_from([-1, LEAST]))
    # Few of them, so that the lists overlap.
    ids = st.sampled_from([*catalogue[:25], "unknown" if is_text else 7])
    users, k = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 30))
    _, history = rows(data, users, ids, padding, 9)
    times = np.cumsum(np.ones(history.shape, np.int64), axis=1)
    tower = recommender.system.user_tower
    given_to_it = {"history": history.tolist(), "times": times}
    given_to_it = {tensor.name: given_to_it[tensor.name] for tensor in tower.inputs}
    lists = {}
    for what in ("among", "exclude"):
        of_users = data.draw(st.sampled_from([0, 1, users]), what)
        lists[what] = [[]] * users
        if of_users:
            found, filled = rows(data, of_users, ids, padding, 40)
            lists[what] = found * (users // of_users)
            given_to_it[what] = filled.reshape(of_users, -1)
    num_interests = tower.output["interest_weights"].shape[1]
    numbers = st.sampled_from([0.0, 0.3, 1.0, 2.5])
    wanted = np.ones((users, num_interests))
    if data.draw(st.booleans(), "weights"):
        of_a_user = st.lists(numbers, min_size=num_interests, max_size=num_interests).filter(any)
        wanted = np.array([data.draw(of_a_user) for _ in range(users)])
        given_to_it["interest_weights"] = wanted

    answer = model("explain", **given_to_it, k=k)
    answered = {name: array.tolist() for name, array in model(**given_to_it, k=k).items()}
    for output, values in answered.items():
        assert values == answer[output].tolist()

    indices = [[known.get(item, -1) + 1 for item in row] for row in history]
    items, places = newest(history, known, indices)
    expected = truth(recommender, items, newest(history, known, times)[0], wanted)
    np.testing.assert_allclose(answer["interest_weights"], expected.weights, rtol=1e-5, atol=1e-6)
    for user in range(users):
        scores = expected.scores[user].astype(np.float64)
        if not places[user]:
            scores = recommender.counts / recommender.counts.sum()
        among, exclude = lists["among"][user], lists["exclude"][user]
        left = set(among) & known.keys() if among else set(catalogue)
        left -= {*exclude, *history[user]}
        ids_of_user = answer["item_ids"][user].tolist()
        found = [item.decode() if is_text else item for item in ids_of_user]
        filling = "" if is_text else -1
        found = found[: found.index(filling)] if filling in found else found
        assert len(set(found)) == len(found) == min(k, len(left))
        assert set(found) <= left
        of_found = answer["scores"][user, : len(found)]
        assert np.isneginf(answer["scores"][user, len(found) :]).all()
        of_items = [scores[known[item]] for item in found]
        np.testing.assert_allclose(of_found, of_items, rtol=1e-4, atol=1e-5)
        if name == "exact" or among:
            best = sorted((scores[known[item]] for item in left), reverse=True)[:k]
            np.testing.assert_allclose(of_found, best, rtol=1e-4, atol=1e-5)

        attention = np.zeros((history.shape[1], num_interests))
        attention[places[user]] = expected.attention[user, : len(places[user])]
        np.testing.assert_allclose(answer["attention"][user], attention, rtol=1e-4, atol=1e-6)
        interests = answer["item_interests"][user]
        assert (interests[len(found) :] == -1).all()
        if not places[user]:
            assert (interests == -1).all()
            continue
        vectors = recommender.item_vectors()[[known[item] for item in found]]
        parts = expected.weights[user, :, None] * (expected.interests[user] @ vectors.T)
        parts[expected.weights[user] == 0] = -np.inf
        chosen = parts[interests[: len(found)], np.arange(len(found))]
        np.testing.assert_allclose(chosen, parts.max(axis=0), rtol=1e-4, atol=1e-5)


@systems
def test_equal_weights_change_nothing_bit_for_bit(loaded, recommenders, system):
    recommender, model = recommenders[system], loaded[system, "exact"]
    history = np.array([recommender.sequences.item_ids.to_pylist()[:6]], object)
    inputs = {"history": history.tolist(), "times": np.arange(6)[None]}
    inputs = {t.name: inputs[t.name] for t in recommender.system.user_tower.inputs}
    plain = model("user_vectors", **inputs)
    num_interests = plain["interest_weights"].shape[1]
    every = recommender.sequences.item_ids.to_pylist()
    scores = model("score", **inputs, candidates=[every])["scores"][0]
    unweighted = model(**inputs, k=5)
    for factor in (1.0, 1e30):
        answer = model(**inputs, interest_weights=[[factor] * num_interests], k=5)
        for name, expected in unweighted.items():
            np.testing.assert_array_equal(answer[name], expected)
        np.testing.assert_array_equal(answer["interest_weights"], plain["interest_weights"])
        best = sorted(np.delete(scores, range(6)), reverse=True)[:5]
        np.testing.assert_allclose(answer["scores"][0], best, rtol=1e-6)


def test_each_interest_alone_ranks_by_its_own_vector(loaded, recommenders):
    model, recommender = loaded["timirec", "exact"], recommenders["timirec"]
    vectors = model("user_vectors", history=[["i1", "i2", "i9"]])["interests"][0]
    answer = model(history=[["i1", "i2", "i9"]] * 2, interest_weights=np.eye(2), k=40)
    scores = vectors @ recommender.item_vectors().T
    ids = recommender.sequences.item_ids.to_pylist()
    scores[:, [ids.index(item) for item in ("i1", "i2", "i9")]] = -np.inf
    np.testing.assert_allclose(
        answer["scores"], -np.sort(-scores, axis=1)[:, :40], rtol=1e-5, atol=1e-6
    )
    # The best of both are what the best-matching interest recommends.
    of_both = {}
    for items, values in zip(answer["item_ids"], answer["scores"], strict=True):
        for item, value in zip(items, values, strict=True):
            of_both[item] = max(value, of_both.get(item, -np.inf))
    merged = sorted(of_both.values(), reverse=True)[:40]
    best = -np.sort(-scores.max(axis=0))[:40]
    np.testing.assert_allclose(merged, best, rtol=1e-5, atol=1e-6)


@models
def test_a_list_that_names_no_item_of_the_catalogue_leaves_none(loaded, name):
    answer = loaded["timirec", name](history=[["i1"], ["i1"], [""]], among=[["?"], [""], ["?"]])
    assert (answer["item_ids"][[0, 2]] == b"").all()
    assert np.isneginf(answer["scores"][[0, 2]]).all()
    assert (answer["item_ids"][1] != b"").all()


def test_a_model_of_several_vectors_can_be_asked_for_everything(loaded, recommenders):
    count = recommenders["comirec"].sequences.num_items
    answer = loaded["comirec", "scann"](history=[[1000], [7]], k=count)
    assert answer["scores"].shape == (2, count)
    popular = answer["item_ids"][1]
    assert len(set(popular)) == count


def bad_weights():
    return [[[0.0, 0.0]], [[1.0, 1.0], [0.0, 0.0]], [[1.0, -1.0]], [[np.inf, 1.0]], [[np.nan, 1.0]]]


@pytest.mark.parametrize("weights", bad_weights())
def test_weights_that_make_no_sense_are_refused(loaded, weights):
    with pytest.raises(tf.errors.InvalidArgumentError, match="numbers from 0 up, not all of them"):
        loaded["timirec", "exact"](history=[["i1"], ["i2"]], interest_weights=weights)


@pytest.mark.parametrize("what", ["among", "exclude"])
def test_a_list_for_some_users_only_is_refused(loaded, what):
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"row of {what} for all users"):
        loaded["timirec", "exact"](history=[["i1"]] * 3, **{what: [["i1"]] * 2})
