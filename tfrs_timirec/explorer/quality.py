"""A trained recommender at a glance: what its interests are worth."""

from typing import Any

import numpy as np
from scipy.special import softmax

from tfrs_timirec.data.instances import Instances
from tfrs_timirec.evaluation.interests import calibration, observe, perplexity
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
    figures["hit_rates"] = {
        "model": _hit_rate(Ranker(system).ranks(targets, None)),
        "best match": _hit_rate(Ranker(_BestMatch(system)).ranks(targets, None)),
        "oracle": _hit_rate(Ranker(system).oracle_ranks(targets)),
    }
    if system.user_tower.output["interests"].shape[1] == 1:
        return figures
    observed = observe(system, targets)
    figures["effective"] = float(observed.effective.mean())
    figures["collapsed"] = float((observed.closest >= COLLAPSED).mean())
    if isinstance(system, Distilled):
        weights, nearest = observed.weights, observed.nearest
        found = calibration(weights, nearest)
        # The weights are softmax(z); any constant may be added to z.
        logits = np.log(np.maximum(weights, np.finfo(np.float32).tiny))
        taught = softmax(logits / system.settings.temperature, axis=1)
        figures["in play"] = float(perplexity(weights).mean())
        figures["calibration"] = {
            "weights": found.error,
            "taught": calibration(taught, nearest).error,
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
    targets = recommender.tested
    histories = targets.histories(np.arange(len(targets)), targets.max_length)
    usable = np.flatnonzero(histories.any(axis=1) & (targets.positives > 0))
    if len(usable) > TARGETS:
        rng = np.random.default_rng(recommender.settings.seed)
        usable = np.sort(rng.choice(usable, TARGETS, replace=False))
    return targets.chosen(usable)


class _BestMatch:
    """What a `Ranker` asks of a model, with the interests as query vectors."""

    def __init__(self, system: SequentialRecommender):
        self.num_items, self.item_vectors = system.num_items, system.item_vectors
        self.query_vectors = lambda inputs: system.represent(inputs)["interests"]


def _hit_rate(ranks: np.ndarray) -> float:
    return float((ranks < AT).mean())
