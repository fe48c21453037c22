"""Recommendations and their explanations against what the tower gives, by brute force."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import examples
from tfrs_timirec import Recommender, UserError

ITEMS = [f"s-{item}" for item in range(40)]
some_items = st.lists(st.sampled_from(ITEMS), unique=True)


def represent(model, history):
    """What the tower gives for the newest items of a history, as NumPy, without the batch."""
    index = {item: i + 1 for i, item in enumerate(model.sequences.item_ids.to_pylist())}
    newest = [index[item] for item in history][-model.settings.model.history_length :]
    given = model.system.represent({"history": np.array([newest], np.int32)})
    return {name: np.array(tensor)[0] for name, tensor in given.items()}


def by_brute_force(model, history, k, among=ITEMS, exclude=()):
    """The best items, by their ids, and their scores."""
    queries = represent(model, history)["query_vectors"]
    scores = (model.item_vectors() @ queries.T).max(axis=1)
    ids = np.array(model.sequences.item_ids.to_pylist())
    scores = pd.Series(scores, ids)
    left = [item for item in ids if item in set(among) - set(exclude) - set(history)]
    return scores[left].sort_values(ascending=False)[:k]


def history_of(frame, user):
    return frame.loc[frame["customer"] == user, "sku"].tolist()


def test_users_against_brute_force(model, frame):
    users = frame["customer"].unique()
    recommended = model.recommend(users=users, k=10)
    assert recommended["customer"].tolist() == np.repeat(users, 10).tolist()
    for user, rows in recommended.groupby("customer"):
        expected = by_brute_force(model, history_of(frame, user), 10)
        assert rows["sku"].tolist() == expected.index.tolist()
        np.testing.assert_allclose(rows["score"], expected, atol=1e-5)
        assert rows["rank"].tolist() == list(range(1, 11))


@examples(30)
@given(
    histories=st.lists(
        st.lists(st.sampled_from(ITEMS), min_size=1, max_size=12), min_size=1, max_size=4
    ),
    among=st.lists(st.sampled_from(ITEMS), min_size=1, unique=True),
    exclude=some_items,
    k=st.integers(1, 40),
)
def test_histories_against_brute_force(model, histories, among, exclude, k):
    rows = model.recommend(histories=histories, k=k, among=among, exclude=exclude)
    for number, history in enumerate(histories):
        found = rows[rows["history"] == number]
        expected = by_brute_force(model, history, k, among, exclude)
        assert len(found) == len(expected)
        assert set(found["sku"]) <= set(among) - set(exclude) - set(history)
        np.testing.assert_allclose(found["score"], expected, atol=1e-5)
        assert found["rank"].tolist() == list(range(1, len(expected) + 1))


def test_nothing_of_the_whole_history_comes_back(model, frame):
    recommended = model.recommend(users=frame["customer"].unique(), k=40)
    for user, rows in recommended.groupby("customer"):
        assert set(rows["sku"]) == set(ITEMS) - set(history_of(frame, user))


def test_the_explanation_is_what_the_tower_gives(model, frame):
    users = frame["customer"].unique()[:20]
    explained = model.explain(users=users, k=10)
    for user in users:
        history = history_of(frame, user)
        given = represent(model, history)
        newest = history[-3:]
        vectors = dict(zip(model.sequences.item_ids.to_pylist(), model.item_vectors(), strict=True))

        weights = explained.interests.query("customer == @user")
        assert weights["interest"].tolist() == [0, 1]
        np.testing.assert_allclose(weights["weight"], given["interest_weights"], atol=1e-5)
        assert weights["weight"].sum() == pytest.approx(1, abs=1e-5)

        shares = explained.history.query("customer == @user")
        of_newest = shares.pivot(index="position", columns="interest", values="share")
        np.testing.assert_allclose(of_newest, given["attention"][::-1], atol=1e-5)
        np.testing.assert_allclose(of_newest.sum(), 1, atol=1e-5)
        for position, item in zip(shares["position"], shares["sku"], strict=True):
            assert item == history[-position]

        for row in explained.recommendations.query("customer == @user").itertuples():
            matches = given["interests"] @ vectors[row.sku] * given["interest_weights"]
            assert matches[row.interest] == pytest.approx(matches.max(), abs=1e-5)
            share = given["attention"][:, row.interest]
            assert share[newest.index(row.because)] == pytest.approx(share.max(), abs=1e-5)


def test_the_explained_recommendations_are_the_recommendations(model):
    asked = {"users": ["c-1", "c-2"], "k": 5, "among": ITEMS[:30], "exclude": ITEMS[:3]}
    explained = model.explain(**asked).recommendations
    recommended = model.recommend(**asked, interest=True)
    assert list(recommended) == ["customer", "sku", "rank", "score", "interest"]
    pd.testing.assert_frame_equal(explained[list(recommended)], recommended)


def test_fewer_than_k_where_fewer_are_left(model):
    rows = model.recommend(histories=[ITEMS[:38], ITEMS[:1], ITEMS], k=5)
    assert rows["history"].tolist() == [0, 0, 1, 1, 1, 1, 1]
    assert set(rows.loc[rows["history"] == 0, "sku"]) == set(ITEMS[38:])
    assert np.isfinite(rows["score"]).all()


def test_similar_items_against_brute_force(model):
    ids = model.sequences.item_ids.to_pylist()
    vectors = model.item_vectors().astype("float64")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = model.similar_items(ITEMS, k=39)
    for item, found in rows.groupby("sku"):
        cosines = pd.Series(vectors @ vectors[ids.index(item)], ids).drop(item)
        assert set(found["similar"]) == set(ITEMS) - {item}
        expected = cosines.sort_values(ascending=False)
        np.testing.assert_allclose(found["score"], expected, atol=1e-5)
        np.testing.assert_allclose(cosines[found["similar"]], expected, atol=1e-5)


def by_popularity(model, k):
    counts = pd.Series(model.counts, model.sequences.item_ids.to_pylist())
    return (counts / counts.sum()).sort_values(ascending=False)[:k]


def test_unknown_users(model):
    with pytest.raises(UserError, match="no user 'nobody' in the log"):
        model.recommend(users=["c-1", "nobody"], k=3)
    popular = model.recommend(users=["nobody", "c-1"], k=3, unknown="popular")
    assert popular["customer"].tolist() == ["nobody"] * 3 + ["c-1"] * 3
    np.testing.assert_allclose(popular["score"][:3], by_popularity(model, 3), rtol=1e-5)
    known = model.recommend(users=["c-1"], k=3)
    for answer in (popular[3:], model.recommend(["nobody", "c-1"], k=3, unknown="skip")):
        assert answer.drop(columns="score").values.tolist() == (
            known.drop(columns="score").values.tolist()
        )
        np.testing.assert_allclose(answer["score"], known["score"], atol=1e-5)


def test_unknown_items_in_histories(model):
    histories = [["what", "s-1"], ["what"], [], ["s-2"]]
    for wrong, said in ((histories[:1], "no item 'what' in the log"), ([[]], "is empty")):
        with pytest.raises(UserError, match=said):
            model.recommend(histories=wrong, k=3)
    popular = model.recommend(histories=histories, k=3, unknown="popular")
    assert popular["history"].tolist() == np.repeat(range(4), 3).tolist()
    for number in (1, 2):
        score = popular.loc[popular["history"] == number, "score"]
        np.testing.assert_allclose(score, by_popularity(model, 3), rtol=1e-5)
    skipped = model.recommend(histories=histories, k=3, unknown="skip")
    assert skipped["history"].tolist() == [0] * 3 + [3] * 3
    known = model.recommend(histories=[["s-1"], ["s-2"]], k=3)
    assert skipped["sku"].tolist() == known["sku"].tolist()
    np.testing.assert_allclose(skipped["score"], known["score"], atol=1e-5)


def test_who_has_no_history_is_explained_by_nothing(model):
    explained = model.explain(users=["nobody"], k=3, unknown="popular")
    assert explained.recommendations["because"].isna().all()
    assert len(explained.history) == 0


def test_by_popularity_no_item_comes_from_another(frame, columns, tiny, eagerly):
    with eagerly():
        popularity = Recommender("popularity", **tiny).fit(frame, **columns, silent=True)
    explained = popularity.explain(users=["c-1"], k=3)
    assert explained.recommendations["because"].isna().all()
    assert (explained.history["share"] == 0).all() and len(explained.history)


def test_integer_ids(frame, columns, tiny, eagerly):
    numbers = frame.assign(
        customer=frame["customer"].str[2:].astype(int), sku=frame["sku"].str[2:].astype(int)
    )
    with eagerly():
        model = Recommender("youtube_dnn", **{**tiny, "max_epochs": 1})
        model.fit(numbers, **columns, silent=True)
    recommended = model.recommend(users=[17, 9], k=5)
    assert recommended["customer"].tolist() == [17] * 5 + [9] * 5
    for user, rows in recommended.groupby("customer"):
        history = numbers.loc[numbers["customer"] == user, "sku"].tolist()
        expected = by_brute_force(model, history, 5, range(40))
        assert rows["sku"].tolist() == expected.index.tolist()
    with pytest.raises(UserError, match="are integers in the log: give integers"):
        model.recommend(users=["17"])


def test_the_answer_is_a_table_as_the_users_are(model):
    answers = [
        model.recommend(pl.Series(["c-17"])),
        *vars(model.explain(pl.Series(["c-17"]))).values(),
        model.similar_items(pl.Series(["s-1"])),
    ]
    assert all(isinstance(answer, pl.DataFrame) for answer in answers)
    users = np.array(["c-17"]), pd.Series(["c-17"]), ["c-17"]
    for answer in map(model.recommend, users):
        pd.testing.assert_frame_equal(answer, answers[0].to_pandas())
