"""Figures of the interests themselves: how many there are, and how well they are predicted."""

from dataclasses import dataclass

import numpy as np
from scipy.special import entr

BINS = 10


def effective_number(interests: np.ndarray) -> np.ndarray:
    """How many different interests each user has: the Vendi score of the vectors.

    exp of the entropy of the eigenvalues of C / K, where C holds the cosines of the K vectors
    (Friedman and Dieng, TMLR 2023, definition 3.1). K vectors at right angles count K, K equal
    ones 1.

    Args:
        interests: float [users, K, D].

    Returns:
        float64 [users], from 1 to K.
    """
    eigenvalues = np.linalg.eigvalsh(cosines(interests)) / interests.shape[1]
    # Rounding takes those that are 0 below it.
    return np.exp(entr(np.maximum(eigenvalues, 0)).sum(axis=1))


def perplexity(weights: np.ndarray) -> np.ndarray:
    """How many interests have a say: exp of the entropy of their weights.

    Args:
        weights: float [users, K]; a user's add up to 1.

    Returns:
        float64 [users], from 1 to K.
    """
    return np.exp(entr(weights.astype(np.float64)).sum(axis=1))


def closest(interests: np.ndarray) -> np.ndarray:
    """How alike the two most alike interests of each user are.

    Args:
        interests: float [users, K, D], K at least 2.

    Returns:
        float64 [users], the largest cosine of two of them.
    """
    first, second = np.triu_indices(interests.shape[1], 1)
    return cosines(interests)[:, first, second].max(axis=1)


def cosines(interests: np.ndarray) -> np.ndarray:
    """float64 [users, K, K], the cosines of each user's interests [users, K, D]."""
    vectors = interests.astype(np.float64)
    norms = np.linalg.norm(vectors, axis=2, keepdims=True)
    vectors = vectors / np.maximum(norms, np.finfo(np.float64).tiny)
    return vectors @ vectors.transpose(0, 2, 1)


@dataclass(frozen=True, eq=False)
class Calibration:
    """How often a prediction comes true, by how sure it is.

    Args:
        error: The expected calibration error.
        counts: int64 [BINS], predictions by their confidence, in bins of equal width from 0 to 1.
        confidences: float64 [BINS], the mean confidence of a bin; NaN where it is empty.
        accuracies: float64 [BINS], the share of a bin that came true; NaN where it is empty.
    """

    error: float
    counts: np.ndarray
    confidences: np.ndarray
    accuracies: np.ndarray


def calibration(probabilities: np.ndarray, truth: np.ndarray) -> Calibration:
    """The calibration of the most probable interest.

    The expected calibration error is Σ_b n_b / n · |accuracy_b − confidence_b| (Guo et al.,
    ICML 2017, equation 3).

    Args:
        probabilities: float [users, K].
        truth: int [users], the interest that it was.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == truth
    # Bins hold their upper ends, as in the paper.
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    sums = [np.bincount(place, values, minlength=BINS) for values in (confidence, right)]
    with np.errstate(invalid="ignore"):
        confidences, accuracies = (values / counts for values in sums)
    gaps = np.abs(sums[1] - sums[0])
    return Calibration(float(gaps.sum() / len(truth)), counts, confidences, accuracies)
