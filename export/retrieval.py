"""The items with the highest scores: by scoring all of them, or with a ScaNN index."""

import math
from typing import Protocol

import tensorflow as tf

from export.settings import ExportSettings

# A tree and its codebooks need some hundred items to be trained on.
SMALLEST_INDEX = 1_000


class Search(Protocol):
    """Finds the best items of queries; a `tf.Module`."""

    def __call__(self, queries: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The items with the highest maximum over the M dot products.

        Args:
            queries: float32 [batch, M, D].
            count: int32, how many, at most the catalogue's size.

        Returns:
            float32 [batch, n] scores and int32 [batch, n] item indices, n at least `count`; a
            score of −inf marks a place without an item.
        """


class ExactSearch(tf.Module):
    """Scores the whole catalogue: one matrix product and a top-k, plain TensorFlow operations.

    Args:
        items: float32 [items, D], index 1 first.
    """

    def __init__(self, items: tf.Tensor):
        super().__init__()
        # D first: the product then reads the catalogue in its order in memory.
        self._items = tf.Variable(tf.transpose(items), trainable=False)

    def __call__(self, queries: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        vectors, size = queries.shape[1:]
        scores = tf.matmul(tf.reshape(queries, [-1, size]), self._items)
        if vectors > 1:
            scores = tf.reduce_max(tf.reshape(scores, [-1, vectors, self._items.shape[1]]), axis=1)
        scores, places = tf.math.top_k(scores, count)
        return scores, places + 1


class ScannSearch(tf.Module):
    """Searches a ScaNN index with each of the M vectors, and merges by the best score.

    Args:
        items: float32 [items, D], index 1 first; at least `SMALLEST_INDEX` of them.
        settings: Leaves, leaves to search and candidates to score exactly.
    """

    def __init__(self, items: tf.Tensor, settings: ExportSettings):
        super().__init__()
        import tensorflow_recommenders as tfrs

        leaves = settings.leaves or round(math.sqrt(len(items)))
        self._index = tfrs.layers.factorized_top_k.ScaNN(
            k=settings.k,
            num_leaves=leaves,
            num_leaves_to_search=settings.leaves_to_search or math.ceil(leaves / 10),
            num_reordering_candidates=settings.reordering or max(100, 10 * settings.k),
        ).index(items)
        self._count = len(items)

    def __call__(self, queries: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        vectors, size = queries.shape[1:]
        scores, places = self._index(tf.reshape(queries, [-1, size]), k=count)
        scores, places = (
            tf.ensure_shape(scores, [None, None]),
            tf.ensure_shape(places, [None, None]),
        )
        # What ScaNN did not find has a score that is no number.
        scores = tf.where(tf.math.is_finite(scores), scores, -math.inf)
        indices = tf.clip_by_value(tf.cast(places, tf.int32), 0, self._count - 1) + 1
        if vectors > 1:
            width = vectors * tf.shape(scores)[1]
            scores, indices = _best_of_each(
                tf.reshape(scores, [-1, width]), tf.reshape(indices, [-1, width])
            )
        return scores, indices


def _best_of_each(scores, indices):
    """Sets all scores of an item but its best to −inf, row by row."""
    order = tf.argsort(scores, axis=1, direction="DESCENDING", stable=True)
    scores = tf.gather(scores, order, batch_dims=1)
    indices = tf.gather(indices, order, batch_dims=1)
    order = tf.argsort(indices, axis=1, stable=True)
    scores = tf.gather(scores, order, batch_dims=1)
    indices = tf.gather(indices, order, batch_dims=1)
    again = tf.pad(indices[:, 1:] == indices[:, :-1], [[0, 0], [1, 0]])
    return tf.where(again, -math.inf, scores), indices
