"""Figures of the interests themselves: how many there are, and how well they are predicted."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from scipy.special import entr

from tfrs_timirec.data.instances import Instances
from tfrs_timirec.directions import directions
from tfrs_timirec.evaluation.metrics import metric
from tfrs_timirec.models.base import SequentialRecommender

# What each figure says, for tables.
MEANING = {
    "effective number": "different interests of a user: 1 if all are alike, K at right angles",
    "mean cosine": "of two interests of a user: 1 where they have collapsed into one",
    "attention entropy": "0 where an interest comes from one item of the history, 1 from all alike",
    "in play": "interests that the predicted weights leave a say to, from 1 to K",
    "accuracy": "how often the interest predicted to be next is the nearest to the target",
    "calibration error": "how far that is, on average, from how sure the prediction was",
}
BINS = 10
# Weights that differ by less are those of a system that predicts nothing.
ALIKE = 1e-6
USERS_A_BLOCK = 512


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


def mean_cosine(interests: np.ndarray) -> np.ndarray:
    """How far the interests of each user have collapsed into one.

    Args:
        interests: float [users, K, D], K at least 2.

    Returns:
        float64 [users], the mean cosine of two of them.
    """
    first, second = np.triu_indices(interests.shape[1], 1)
    return cosines(interests)[:, first, second].mean(axis=1)


def attention_entropy(attention: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """How evenly the interests of each user come from the items of the history.

    The entropy of an interest's attention (Ghader and Monz, IJCNLP 2017), divided by the largest
    that n items allow, log n; the mean over the interests.

    Args:
        attention: float [users, positions, K], each item's share in each interest.
        lengths: int [users], n, the items of each history.

    Returns:
        float64 [users], from 0 to 1; NaN where the history has fewer than two items.
    """
    entropy = entr(attention.astype(np.float64)).sum(axis=1).mean(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(lengths > 1, entropy / np.log(lengths), np.nan)


def cosines(interests: np.ndarray) -> np.ndarray:
    """float64 [users, K, K], the cosines of each user's interests [users, K, D]."""
    vectors = directions(interests.astype(np.float64))
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


@dataclass(frozen=True, eq=False)
class Observed:
    """What the histories of some targets make of the interests.

    Args:
        effective: float64 [targets], `effective_number`.
        cosine: float64 [targets], `mean_cosine`.
        closest: float64 [targets], `closest`.
        entropy: float64 [targets], `attention_entropy`.
        weights: float32 [targets, K], what each interest weighs.
        nearest: int64 [targets], the interest with the largest cosine with the target (eq. 5).
    """

    effective: np.ndarray
    cosine: np.ndarray
    closest: np.ndarray
    entropy: np.ndarray
    weights: np.ndarray
    nearest: np.ndarray

    @classmethod
    def joined(cls, parts: "Sequence[Observed]") -> "Observed":
        """Those of several parts, in their order."""
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def chosen(self, rows: np.ndarray) -> "Observed":
        """Some of the targets: those with the numbers `rows`, int [m]."""
        return Observed(*(getattr(self, field.name)[rows] for field in fields(self)))

    @property
    def is_predicted(self) -> bool:
        """Whether the interests weigh differently, which only a predictor makes them."""
        return bool((np.ptp(self.weights, axis=1) > ALIKE).any())


def observe(system: SequentialRecommender, targets: Instances) -> Observed:
    """Looks at the interests of a system with several.

    Args:
        system: Which is trained.
        targets: Known items, each with a history, one at least.
    """
    items = system.item_vectors().numpy()
    blocks, order = [], []
    for block, width in targets.batches(USERS_A_BLOCK):
        inputs = targets.inputs(block, width)
        given = {name: np.asarray(values) for name, values in system.represent(inputs).items()}
        interests = given["interests"]
        lengths = (inputs["history"] > 0).sum(axis=1)
        wanted = items[targets.positives[block] - 1]
        blocks.append(
            Observed(
                effective_number(interests),
                mean_cosine(interests),
                closest(interests),
                attention_entropy(given["attention"], lengths),
                given["interest_weights"],
                np.einsum("ukd,ud->uk", directions(interests), wanted).argmax(axis=1),
            )
        )
        order.append(block)
    return Observed.joined(blocks).chosen(np.argsort(np.concatenate(order)))


def interest_figures(
    observed: Observed,
    ranks: np.ndarray,
    oracle: np.ndarray,
    users: np.ndarray,
    cutoffs: Sequence[int],
) -> dict[str, Any]:
    """The figures of a system with several interests.

    Args:
        observed: Of the targets.
        ranks: int64 [targets], in the whole catalogue.
        oracle: int64 [targets], `tfrs_timirec.evaluation.ranking.Ranker.oracle_ranks`.
        users: int64 [targets], the user of each.
        cutoffs: The N of HR@N and NDCG@N.

    Returns:
        `interests`, K; `targets`, how many; means over them: `effective number`, `mean cosine`,
        `attention entropy`, and of a predictor `in play`, the perplexity of the weights,
        `accuracy`, how often the heaviest interest is the nearest to the target, and `calibration
        error`, that of `calibration`; `model` and `oracle`, HR@N and NDCG@N in the whole catalogue.
    """
    figures: dict[str, Any] = {
        "interests": observed.weights.shape[1],
        "targets": len(ranks),
        "effective number": float(observed.effective.mean()),
        "mean cosine": float(observed.cosine.mean()),
    }
    if not np.isnan(observed.entropy).all():
        figures["attention entropy"] = float(np.nanmean(observed.entropy))
    if observed.is_predicted:
        predicted = observed.weights.argmax(axis=1)
        figures["in play"] = float(perplexity(observed.weights).mean())
        figures["accuracy"] = float((predicted == observed.nearest).mean())
        figures["calibration error"] = calibration(observed.weights, observed.nearest).error
    names = [f"{kind}@{n}" for kind in ("HR", "NDCG") for n in cutoffs]
    for title, values in (("model", ranks), ("oracle", oracle)):
        figures[title] = {name: float(metric(name, values, users).mean()) for name in names}
    return figures
