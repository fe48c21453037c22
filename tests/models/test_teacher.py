"""What teachers tell, against plain NumPy."""

import numpy as np
import pytest
from scipy.special import softmax

from tests.models.variants import ITEMS, make, with_an_empty_history
from tfrs_timirec.models.teacher import Teacher

INPUTS = with_an_empty_history()


@pytest.fixture(scope="module")
def systems():
    """One with several query vectors, and one with one."""
    systems = [make("comirec"), make("sasrec")]
    rng = np.random.default_rng(0)
    for system in systems:
        for weight in system.user_tower.trainable_weights:
            weight.assign(rng.normal(size=weight.shape))
    return systems


def expected(systems, inputs):
    """The softmax of the mean of the scores, each the maximum over the query vectors."""
    scores = [
        (np.asarray(system.query_vectors(inputs)) @ np.asarray(system.item_vectors()).T).max(axis=1)
        for system in systems
    ]
    return softmax(np.mean(scores, axis=0), axis=1)


@pytest.mark.parametrize("chosen", [slice(1), slice(2)])
def test_a_teacher_tells_the_probability_of_each_item(systems, chosen):
    told = np.asarray(Teacher(systems[chosen])(INPUTS, follows_each=False))
    assert told.shape == (len(INPUTS["history"]), ITEMS)
    np.testing.assert_allclose(told, expected(systems[chosen], INPUTS), rtol=1e-4, atol=1e-7)


def test_by_user_it_tells_them_after_each_item(systems):
    history = INPUTS["history"]
    told = np.asarray(Teacher(systems)(INPUTS, follows_each=True))
    told = told.reshape(*history.shape, ITEMS)
    for end in range(1, history.shape[1] + 1):
        begun = history * (np.arange(history.shape[1]) < end)
        inputs = {**INPUTS, "history": begun.astype(np.int32)}
        there = history[:, end - 1] > 0
        np.testing.assert_allclose(
            told[there, end - 1], expected(systems, inputs)[there], rtol=1e-3, atol=1e-6
        )
