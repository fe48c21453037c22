"""A trained recommender at a glance: what its interests are worth."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from scipy.special import softmax

from tfrs_timirec.data.instances import Instances, evaluation_instances
from tfrs_timirec.data.splits import split_of
from tfrs_timirec.evaluation.interests import (
    calibration,
    closest,
    effective_number,
    perplexity,
)
from tfrs_timirec.evaluation.ranking import Ranker
from tfrs_timirec.models.base import SequentialRecommender
from tfrs_timirec.models.distillation import Distilled
from tfrs_timirec.recommender import Recommender

TARGETS = 10_000
# Interests whose cosine is at least this have collapsed into one.
COLLAPSED = 0.95
AT = 10


def quality(recommender: Recommender) -> dict[str, Any]:
    """The figures of the page, on the test targets or a sample of `TARGETS` of them.

    Args:
        recommender: Which is trained.

    Returns:
        `metrics`, those of the run; `targets`, how many the others are of, and, if there are any,
        `hit_rates` at 10 in the whole catalogue: of the `model`, of the `best match` (the highest
        score that any interest gives) and of the `oracle`, which always knows which of the
        interests ranks the target highest. With several interests also `effective`, how many
        different ones a user has, and `collapsed`, the share of users with two that are alike. Of
        a predictor also `in play`, how many interests have a say; `calibration`: the expected
        calibration error of the `weights` and, as they are `taught`, of softmax(z / T), and the
        bins of the former.
    """
    system = recommender.system
    targets = _targets(recommender)
    figures: dict[str, Any] = {"metrics": recommender.metrics, "targets": len(targets)}
    if not len(targets):
        return figures
    given = _represented(system, targets)
    interests, weights = given["interests"], given["interest_weights"]
    count = interests.shape[1]
    # A compilation for each interest is meant; TensorFlow warns of them.
    tf.get_logger().setLevel("ERROR")
    ranks = [_ranks(system, targets, _one_interest(system, k)) for k in range(count)]
    figures["hit_rates"] = {
        "model": _hit_rate(_ranks(system, targets, system.query_vectors)),
        "best match": _hit_rate(_ranks(system, targets, _interests(system))),
        "oracle": _hit_rate(np.min(ranks, axis=0)),
    }
    if count > 1:
        figures["effective"] = float(effective_number(interests).mean())
        figures["collapsed"] = float((closest(interests) >= COLLAPSED).mean())
    if isinstance(system, Distilled) and count > 1:
        items = recommender.item_vectors()[targets.positives - 1]
        truth = _matching(interests, items)
        found = calibration(weights, truth)
        # The weights are softmax(z); any constant may be added to z.
        logits = np.log(np.maximum(weights, np.finfo(np.float32).tiny))
        taught = softmax(logits / system.settings.temperature, axis=1)
        figures["in play"] = float(perplexity(weights).mean())
        figures["calibration"] = {
            "weights": found.error,
            "taught": calibration(taught, truth).error,
            "bins": [
                {"count": int(n), "confidence": float(confidence), "accuracy": float(accuracy)}
                for n, confidence, accuracy in zip(
                    found.counts, found.confidences, found.accuracies, strict=True
                )
                if n
            ],
        }
    return figures


def _targets(recommender: Recommender) -> Instances:
    """Known test targets of users with a known history."""
    settings, store = recommender.settings, recommender.sequences
    split = split_of(store, settings.data)
    targets = evaluation_instances(store, split, "test", settings.model.history_length)
    histories = targets.histories(np.arange(len(targets)), targets.max_length)
    usable = np.flatnonzero(histories.any(axis=1) & (targets.positives > 0))
    if len(usable) > TARGETS:
        rng = np.random.default_rng(settings.seed)
        usable = np.sort(rng.choice(usable, TARGETS, replace=False))
    return targets.chosen(usable)


def _represented(system: SequentialRecommender, targets: Instances) -> dict[str, np.ndarray]:
    """What the user tower gives of all targets' histories."""
    names = ("interests", "interest_weights")
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    order = []
    for block, width in targets.batches(512):
        given = system.represent(targets.inputs(block, width))
        order.append(block)
        for name in names:
            found[name].append(np.asarray(given[name]))
    back = np.argsort(np.concatenate(order))
    return {name: np.concatenate(parts)[back] for name, parts in found.items()}


class _Asked:
    """What a `Ranker` asks of a model, with other query vectors than the model's own."""

    def __init__(self, system: SequentialRecommender, query_vectors: Callable):
        self.num_items, self.item_vectors = system.num_items, system.item_vectors
        self.query_vectors = query_vectors


def _ranks(system: SequentialRecommender, targets: Instances, queries: Callable) -> np.ndarray:
    return Ranker(_Asked(system, queries)).ranks(targets, None)


def _interests(system: SequentialRecommender) -> Callable[[dict], tf.Tensor]:
    return lambda inputs: system.represent(inputs)["interests"]


def _one_interest(system: SequentialRecommender, k: int) -> Callable[[dict], tf.Tensor]:
    return lambda inputs: system.represent(inputs)["interests"][:, k : k + 1]


def _hit_rate(ranks: np.ndarray) -> float:
    return float((ranks < AT).mean())


def _matching(interests: np.ndarray, items: np.ndarray) -> np.ndarray:
    """int [users], the interest with the largest cosine with the user's target (eq. 5)."""
    norms = np.maximum(np.linalg.norm(interests, axis=2), np.finfo(np.float32).tiny)
    return (np.einsum("ukd,ud->uk", interests, items) / norms).argmax(axis=1)
