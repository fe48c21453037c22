"""Predicted interests against those that the synthetic data planted."""

import numpy as np

from tfrs_timirec.data.task import Task
from tfrs_timirec.directions import directions
from tfrs_timirec.models.base import SequentialRecommender


def planted_agreement(model: SequentialRecommender, task: Task) -> dict[str, float]:
    """How often the predictor names the interest that truly drives the test action.

    A planted interest points where the vectors of its items do, each counted as often as it
    occurs; the learned interest that is nearest to it by cosine stands for it.

    Args:
        model: A trained system with a predictor.
        task: Sequences with their true interests, and the test targets; those without a history
            do not count.

    Returns:
        `agreement` (share of targets, 0 to 1), `most frequent` (what naming always the same
        learned interest would reach).
    """
    store, instances = task.store, task.test.with_history()
    given = model.represent(instances.inputs(np.arange(len(instances)), instances.max_length))
    truth = store.interests[instances.target]
    vectors = model.item_vectors().numpy()
    planted = np.zeros((store.interests.max() + 1, vectors.shape[1]))
    np.add.at(planted, store.interests, vectors[store.items - 1])
    interests = directions(np.asarray(given["interests"], np.float64))
    nearest = np.einsum("ukd,ud->uk", interests, planted[truth]).argmax(axis=1)
    predicted = np.asarray(given["interest_weights"]).argmax(axis=1)
    return {
        "agreement": float((predicted == nearest).mean()),
        "most frequent": float(np.bincount(nearest).max() / len(nearest)),
    }
