"""Figures of interests, against values worked out by hand and against their own definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ortho_group

from tfrs_timirec.evaluation.interests import (
    BINS,
    Observed,
    attention_entropy,
    calibration,
    closest,
    effective_number,
    interest_figures,
    mean_cosine,
    perplexity,
)


def test_effective_number_counts_what_is_different():
    corner = np.eye(4)[None]
    assert effective_number(corner) == pytest.approx(4)
    assert effective_number(np.ones((1, 4, 3))) == pytest.approx(1)
    # Two pairs of equal vectors at right angles, whatever their lengths.
    pairs = np.array([[[1, 0], [5, 0], [0, 2], [0, 3]]])
    assert effective_number(pairs) == pytest.approx(2)
    # Two vectors at 60°: the eigenvalues of C / 2 are 3/4 and 1/4.
    sixty = np.array([[[1, 0], [0.5, np.sqrt(3) / 2]]])
    assert effective_number(sixty) == pytest.approx(4 / 3**0.75)


@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_effective_number_is_between_one_and_all_and_looks_at_angles_alone(seed, count):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(3, count, 8))
    turned = vectors @ ortho_group.rvs(8, random_state=seed) * rng.uniform(0.1, 9, (3, count, 1))
    found = effective_number(vectors)
    assert ((found >= 1 - 1e-9) & (found <= count + 1e-9)).all()
    assert effective_number(turned) == pytest.approx(found)


def test_perplexity_of_weights():
    weights = np.array([[0.25] * 4, [1, 0, 0, 0], [0.5, 0.5, 0, 0]], np.float32)
    assert perplexity(weights) == pytest.approx([4, 1, 2])


def test_closest_is_the_largest_cosine_of_two():
    vectors = np.array([[[1, 0], [0, 2], [1, 1]], [[1, 0], [-1, 0], [0, 1]]])
    assert closest(vectors) == pytest.approx([np.sqrt(0.5), 0])


def test_calibration_by_hand():
    # Three are sure to 0.6, two of them rightly; two are sure to 0.9, one of them rightly.
    probabilities = np.array([[0.6, 0.4]] * 3 + [[0.1, 0.9]] * 2)
    found = calibration(probabilities, np.array([0, 0, 1, 1, 0]))
    assert found.error == pytest.approx(3 / 5 * (2 / 3 - 0.6) + 2 / 5 * (0.9 - 0.5))
    assert found.counts.tolist() == [0] * 5 + [3, 0, 0, 2, 0]
    assert found.confidences[[5, 8]] == pytest.approx([0.6, 0.9])
    assert found.accuracies[[5, 8]] == pytest.approx([2 / 3, 0.5])
    assert np.isnan(found.accuracies[0])


@given(st.integers(0, 2**32 - 1))
def test_calibration_as_its_definition_has_it(seed):
    rng = np.random.default_rng(seed)
    probabilities, truth = rng.dirichlet(np.ones(3), 50), rng.integers(0, 3, 50)
    error = 0.0
    for upper in range(1, BINS + 1):
        confidence = probabilities.max(axis=1)
        chosen = (confidence > (upper - 1) / BINS) & (confidence <= upper / BINS)
        if chosen.any():
            right = probabilities[chosen].argmax(axis=1) == truth[chosen]
            error += chosen.mean() * abs(right.mean() - confidence[chosen].mean())
    assert calibration(probabilities, truth).error == pytest.approx(error)


def test_mean_cosine_by_hand():
    # The cosines of two are 0, √½ and √½; all of the second user's are 1.
    vectors = np.array([[[1, 0], [0, 2], [1, 1]], [[1, 2], [2, 4], [3, 6]]])
    assert mean_cosine(vectors) == pytest.approx([2 * np.sqrt(0.5) / 3, 1])


def test_attention_entropy_by_hand():
    # Two interests: one of one item and one of all alike, of three items and padding.
    attention = np.array([[[1, 1 / 3], [0, 1 / 3], [0, 1 / 3], [0, 0]]], np.float32)
    assert attention_entropy(attention, np.array([3])) == pytest.approx(0.5)
    # Half, a quarter and a quarter have 1.5 bits, of log2 3.
    attention = np.array([[[0.5], [0.25], [0.25]]])
    assert attention_entropy(attention, np.array([3])) == pytest.approx(1.5 / np.log2(3))
    assert np.isnan(attention_entropy(np.ones((1, 1, 2)), np.array([1])))


@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_attention_entropy_is_a_share(seed, length):
    attention = np.random.default_rng(seed).dirichlet(np.ones(length), (4, 3)).swapaxes(1, 2)
    found = attention_entropy(attention, np.full(4, length))
    assert ((found >= 0) & (found <= 1 + 1e-9)).all()


def observed(weights: np.ndarray, entropy: list[float]) -> Observed:
    ones = np.ones(len(weights))
    return Observed(2 * ones, ones / 4, ones, np.array(entropy), weights, np.array([0, 1, 1]))


def test_the_figures_of_a_predictor():
    weights = np.array([[0.75, 0.25], [0.75, 0.25], [0.5, 0.5]], np.float32)
    ranks, users = np.array([0, 9, 4]), np.array([0, 0, 1])
    figures = interest_figures(
        observed(weights, [0.5, np.nan, 1]), ranks, np.array([0, 0, 4]), users, [5]
    )
    in_play = (2 * np.exp(0.75 * np.log(4 / 3) + 0.25 * np.log(4)) + 2) / 3
    assert figures == {
        "interests": 2,
        "targets": 3,
        "effective number": 2,
        "mean cosine": 0.25,
        "attention entropy": 0.75,
        "in play": pytest.approx(in_play),
        "accuracy": pytest.approx(1 / 3),
        # Two are sure to 0.75, one rightly; one is sure to 0.5, wrongly.
        "calibration error": pytest.approx((2 * 0.25 + 0.5) / 3),
        # The first user has two targets, of which the first alone, or both, are found.
        "model": {
            "HR@5": 1,
            "NDCG@5": pytest.approx((1 / (1 + 1 / np.log2(3)) + 1 / np.log2(6)) / 2),
        },
        "oracle": {"HR@5": 1, "NDCG@5": pytest.approx((1 + 1 / np.log2(6)) / 2)},
    }


def test_equal_weights_are_no_prediction():
    weights = np.full((3, 4), 0.25, np.float32)
    figures = interest_figures(observed(weights, [np.nan] * 3), *[np.arange(3)] * 3, [5])
    assert list(figures) == [
        *("interests", "targets", "effective number", "mean cosine", "model", "oracle")
    ]
