"""What an exported model must answer, computed from the recommender itself with NumPy."""

from dataclasses import dataclass

import numpy as np

from tfrs_timirec.recommender import Recommender


@dataclass
class Truth:
    """Of users who are given by item indices.

    Args:
        queries: float32 [users, M, D].
        interests: float32 [users, K, D].
        weights: float32 [users, K].
        attention: float32 [users, n, K], of the newest items.
        scores: float32 [users, items], of the catalogue.
    """

    queries: np.ndarray
    interests: np.ndarray
    weights: np.ndarray
    attention: np.ndarray
    scores: np.ndarray


def truth(
    recommender: Recommender,
    items: np.ndarray,
    times: np.ndarray,
    wanted: np.ndarray | None = None,
) -> Truth:
    """Asks the user tower.

    Args:
        recommender: Whose.
        items: int [users, n], item indices, oldest first, 0 after the newest.
        times: int [users, n].
        wanted: float [users, K], what the weights of the interests are multiplied by.
    """
    tower = recommender.system.user_tower
    inputs = {"history": items.astype(np.int32), "times": times.astype(np.int64)}
    outputs = tower({tensor.name: inputs[tensor.name] for tensor in tower.inputs})
    queries, interests, weights, attention = (
        np.asarray(outputs[name])
        for name in ("query_vectors", "interests", "interest_weights", "attention")
    )
    lengths = np.ones_like(weights)
    if wanted is not None:
        gained = weights * wanted
        lengths = wanted / gained.sum(axis=1, keepdims=True) * weights.sum(axis=1, keepdims=True)
        weights = weights * lengths
    vectors = recommender.item_vectors()
    if queries.shape[1] < interests.shape[1]:
        queries = (weights[:, :, None] * interests).sum(axis=1, keepdims=True)
        scores = queries @ vectors.T
    else:
        queries = queries * lengths[:, :, None]
        scores = np.where(lengths[:, :, None] > 0, queries @ vectors.T, -np.inf)
    return Truth(queries, interests, weights, attention, scores.max(axis=1))
