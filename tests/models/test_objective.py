"""The objectives against plain NumPy, and against each other where they must agree."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tfrs_timirec.models.losses import gbce_loss, sampled_softmax_loss, softmax_loss
from tfrs_timirec.models.objective import Objective
from tfrs_timirec.models.settings import ModelSettings

BATCH, SIZE, ITEMS = 12, 6, 40
numbers = st.integers(0, 2**32 - 1)


def drawn(seed):
    """Queries, targets, negatives, the catalogue as a layer, and its vectors."""
    rng = np.random.default_rng(seed)
    table = keras.layers.Embedding(ITEMS + 1, SIZE, mask_zero=True)
    table.build()
    vectors = rng.normal(size=(ITEMS + 1, SIZE)).astype("float32")
    table.embeddings.assign(vectors)
    query = rng.normal(size=(BATCH, SIZE)).astype("float32")
    positive, negative = rng.integers(1, ITEMS + 1, (2, BATCH)).astype("int32")
    # One target is a negative of the batch, so that it must be left out.
    negative[-1] = positive[0]
    return query, positive, negative, table, vectors


def loss(seed, **settings):
    query, positive, negative, table, _ = drawn(seed)
    return np.asarray(Objective(ModelSettings("any", **settings))(query, positive, negative, table))


@hypothesis_settings(max_examples=20)
@given(numbers)
def test_softmax_is_the_cross_entropy_over_the_catalogue(seed):
    query, positive, _, _, vectors = drawn(seed)
    logits = query @ vectors[1:].T
    expected = keras.losses.sparse_categorical_crossentropy(positive - 1, logits, from_logits=True)
    np.testing.assert_allclose(loss(seed, objective="softmax"), expected, rtol=1e-4, atol=1e-5)


def test_label_smoothing_gives_the_other_items_a_share():
    query, positive, _, _, vectors = drawn(0)
    logits = query @ vectors[1:].T
    wanted = np.full((BATCH, ITEMS), 0.2 / (ITEMS - 1))
    wanted[np.arange(BATCH), positive - 1] = 0.8
    expected = keras.losses.categorical_crossentropy(wanted, logits, from_logits=True)
    found = loss(0, objective="softmax", label_smoothing=0.2)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_teacher_says_which_items_have_that_share():
    query, positive, negative, table, vectors = drawn(0)
    logits = query @ vectors[1:].T
    taught = np.random.default_rng(1).dirichlet(np.ones(ITEMS), BATCH).astype("float32")
    wanted = 0.8 * np.eye(ITEMS)[positive - 1] + 0.2 * taught
    expected = keras.losses.categorical_crossentropy(wanted, logits, from_logits=True)
    settings = ModelSettings("any", objective="softmax", label_smoothing=0.2)
    found = Objective(settings)(query, positive, negative, table, taught)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("hardness", [0.0, 0.7])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_sampled_softmax(smoothing, hardness):
    query, positive, negative, _, vectors = drawn(0)
    found = loss(0, objective="sampled_softmax", label_smoothing=smoothing, hardness=hardness)
    for user in range(BATCH):
        target = query[user] @ vectors[positive[user]]
        others = query[user] @ vectors[negative[negative != positive[user]]].T
        # Each drawn item stands for so many of the other items.
        weights = np.exp(hardness * others)
        weights /= weights.mean()
        total = np.exp(target) + (weights * np.exp(others)).sum() * (ITEMS - 1) / BATCH
        of_target, of_others = np.log(total) - target, np.log(total) - others.mean()
        expected = (1 - smoothing) * of_target + smoothing * of_others
        assert found[user] == pytest.approx(expected, rel=1e-4)


@hypothesis_settings(max_examples=20)
@given(numbers)
def test_a_sample_of_all_items_makes_the_sampled_softmax_the_softmax(seed):
    query, positive, _, _, vectors = drawn(seed)
    scores = query @ vectors[1:].T
    score = np.take_along_axis(scores, positive[:, None] - 1, axis=1)[:, 0]
    is_other = positive[:, None] != np.arange(1, ITEMS + 1)
    found = np.asarray(sampled_softmax_loss(score, scores, is_other))
    np.testing.assert_allclose(found, loss(seed, objective="softmax"), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("calibration", [0.0, 0.75, 1.0])
def test_gbce(calibration):
    query, positive, negative, _, vectors = drawn(0)
    found = loss(0, objective="gbce", calibration=calibration)
    share = BATCH / (ITEMS - 1)
    power = share * (calibration * (1 - 1 / share) + 1 / share)
    assert {0.0: 1, 1.0: share}.get(calibration, power) == pytest.approx(power)
    for user in range(BATCH):
        target = query[user] @ vectors[positive[user]]
        others = query[user] @ vectors[negative[negative != positive[user]]].T
        # −log σ(x) = log(1 + e^−x), and e^(−log n) = 1 / n
        expected = power * np.log1p(BATCH * np.exp(-target))
        expected += np.log1p(np.exp(others) / BATCH).sum()
        assert found[user] == pytest.approx(expected, rel=1e-4)


def test_bpr_has_a_negative_of_its_own_for_each_target():
    query, positive, negative, _, vectors = drawn(0)
    margin = np.einsum("bd,bd->b", query, vectors[positive] - vectors[negative])
    np.testing.assert_allclose(loss(0), np.log1p(np.exp(-margin)), rtol=1e-4, atol=1e-6)


def test_huge_scores_stay_finite():
    is_other = np.array([[True, False], [True, True]])
    score, scores = np.float32([3e4, -3e4]), np.float32([[-3e4, 3e4], [3e4, 1e4]])
    for found in (
        softmax_loss(score, scores),
        softmax_loss(score, scores, 0.1),
        sampled_softmax_loss(score, scores, is_other),
        gbce_loss(score, scores, is_other, 0.1, 1),
    ):
        assert np.isfinite(found).all()
    np.testing.assert_allclose(sampled_softmax_loss(score, scores, is_other), [0, 6e4])
