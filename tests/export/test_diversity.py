"""Controllable diversity against its definition, and in an exported model."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given
from hypothesis import strategies as st

from tests.examples import examples
from tfrs_timirec.export.diversity import diverse_places

compiled = tf.function(diverse_places, reduce_retracing=True)


def greedy(scores, categories, k, diversity):
    """Algorithm 1 of ComiRec, item by item."""
    chosen = []
    for _ in range(k):
        gains = [
            -np.inf
            if i in chosen
            else score + diversity * sum(categories[j] != categories[i] for j in chosen)
            for i, score in enumerate(scores)
        ]
        chosen.append(int(np.argmax(gains)))
    return chosen


@examples(60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.sampled_from([0, 0.3, 2, 1e4]))
@example(seed=113109, k=3, diversity=1e4)
def test_it_is_the_greedy_choice(seed, k, diversity):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(3, 8)).astype("float32")
    categories = rng.integers(0, 3, (3, 8)).astype("int32")
    factor = np.full((3, 1), diversity, "float32")
    found, places = compiled(scores, categories, k, factor)
    expected = [
        greedy(*row, k, np.float32(diversity)) for row in zip(scores, categories, strict=True)
    ]
    assert places.numpy().tolist() == expected
    np.testing.assert_array_equal(found, np.take_along_axis(scores, np.array(expected), axis=1))


def test_what_may_not_be_chosen_is_not():
    scores = np.array([[1, -np.inf, 0.5, -np.inf]], "float32")
    found, places = compiled(scores, np.array([[0, 1, 0, 2]], "int32"), 4, np.float32([[9]]))
    assert found.numpy()[0].tolist() == [1, 0.5, -np.inf, -np.inf]
    assert places.numpy()[0, :2].tolist() == [0, 2]


@pytest.fixture(scope="module")
def ask(loaded):
    """A function from history, k and diversity to the outputs."""

    def ask(history, k, diversity, **others):
        model = loaded["timirec", "exact"]
        return model("diverse", history=history, k=k, diversity=diversity, **others)

    return ask


def test_each_user_of_a_batch_is_answered_as_alone(ask):
    users = [(["i1", "i2"], 9, 0.0), (["i3", ""], 2, 0.02), (["", ""], 4, 5.0)]
    together = ask(*zip(*users, strict=True))
    for row, (history, k, diversity) in enumerate(users):
        alone = ask([history], [k], [diversity])
        answered = together["item_ids"][row]
        assert answered.tolist() == [*alone["item_ids"][0], *[b""] * (9 - k)]
        assert len(set(answered[:k])) == k and not {i.encode() for i in history if i} & {*answered}


def test_it_explains_what_it_chose(ask, loaded):
    history = [["i1", "i2", "i3"], ["i40", "i41", ""]]
    diverse, plain = ask(history, 6, 0.05), loaded["timirec", "exact"]("explain", history=history)
    np.testing.assert_array_equal(diverse["attention"], plain["attention"])
    everything = loaded["timirec", "exact"]("explain", history=history, k=60)
    for row in range(2):
        pairs = everything["item_ids"][row], everything["item_interests"][row]
        comes_from = dict(zip(*pairs, strict=True))
        items = diverse["item_ids"][row]
        assert diverse["item_interests"][row].tolist() == [comes_from[item] for item in items]


def test_it_chooses_among_what_may_be_recommended(ask):
    among = [[f"i{i}" for i in range(20)]]
    answer = ask([["i1"]], 20, 1.0, among=among, exclude=[["i2", "i3"]])
    items = [item for item in answer["item_ids"][0].tolist() if item]
    assert sorted(items) == sorted(f"i{i}".encode() for i in range(20) if i not in (1, 2, 3))


def test_more_diversity_is_more_kinds_and_lower_scores(ask):
    history = [[f"i{i}", f"i{i + 1}"] for i in range(0, 50, 5)]
    kinds, scores = [], []
    for diversity in (0.0, 0.02, 1e4):
        answer = ask(history, 6, diversity)
        of_items = [[int(item[1:]) % 3 for item in row] for row in answer["item_ids"]]
        kinds.append(sum(x != y for row in of_items for x in row for y in row))
        scores.append(answer["scores"].sum())
    assert kinds == sorted(kinds) and kinds[0] < kinds[-1]
    assert scores == sorted(scores, reverse=True) and scores[0] > scores[-1]


@pytest.mark.parametrize("diversity", [-1.0, np.nan, np.inf, [0.0, 1.0]])
def test_a_diversity_that_makes_no_sense_is_refused(ask, diversity):
    with pytest.raises(tf.errors.InvalidArgumentError, match="diversity"):
        ask([["i1"]], 3, diversity)
