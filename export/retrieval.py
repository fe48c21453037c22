"""The items with the highest scores: by scoring all of them, or with a ScaNN index."""

import math
from typing import Protocol

import tensorflow as tf

from tfrs_timirec.export.bounds import bounded
from tfrs_timirec.export.settings import ExportSettings
from tfrs_timirec.quiet import quiet
from tfrs_timirec.tfrs import tfrs

# A tree and its codebooks need some hundred items to be trained on.
SMALLEST_INDEX = 1_000
# By benchmarks/retrieval.py: this share of the leaves is searched, but of a small catalogue this
# many items; and this many candidates an item asked for are scored exactly.
SEARCHED_SHARE = 0.05
SEARCHED_ITEMS = 5_000
REORDERED = 4
MIN_REORDERED = 100


class Search(Protocol):
    """Finds the best items of queries; a `tf.Module`.

    Attributes:
        items: float32 [items, D], the catalogue, index 1 first.
    """

    items: tf.Variable

    def __call__(self, queries: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The items with the highest maximum over the M dot products.

        Args:
            queries: float32 [batch, M, D].
            count: int32, how many, at most the catalogue's size.

        Returns:
            float32 [batch, count] scores and int32 [batch, count] item indices; a score of −inf
            marks a place without an item.
        """


class ExactSearch(tf.Module):
    """Scores the whole catalogue: one matrix product and a top-k, plain TensorFlow operations.

    Args:
        items: float32 [items, D], index 1 first.
        settings: How many scores may be computed at a time.
    """

    def __init__(self, items: tf.Tensor, settings: ExportSettings):
        super().__init__()
        self._most_scores = settings.request_scores
        self.items = tf.Variable(items, trainable=False)
        # D first: the product then reads the catalogue in its order in memory.
        self._columns = tf.Variable(tf.transpose(items), trainable=False)

    def __call__(self, queries: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        vectors, size = queries.shape[1:]
        told = (
            f"At most {self._most_scores} scores may be computed at a time, one for each item and "
            f"each query vector of a user; they are"
        )
        scored = [tf.shape(queries)[0], vectors, self.items.shape[0]]
        queries = bounded(queries, scored, self._most_scores, told)
        scores = tf.matmul(tf.reshape(queries, [-1, size]), self._columns)
        if vectors > 1:
            scores = tf.reduce_max(tf.reshape(scores, [-1, vectors, self.items.shape[0]]), axis=1)
        scores, places = tf.math.top_k(scores, count)
        return scores, places + 1


class ScannIndex(tfrs.layers.factorized_top_k.ScaNN):
    """The layer of TensorFlow Recommenders, with a say in each call's effort."""

    def call(self, queries, k, leaves_to_search, reordering):
        """The best of some candidates.

        Args:
            queries: float32 [queries, D].
            k: int32, how many.
            leaves_to_search: int32, leaves that are looked into.
            reordering: int32, how many candidates have their scores computed exactly.

        Returns:
            float32 [queries, k] scores, NaN where too few were found, and int32 [queries, k] rows.
        """
        # Here, for the exact search needs no such package.
        from scann.scann_ops.py import scann_ops

        searcher = scann_ops.searcher_from_module(self._serialized_searcher)
        found = searcher.search_batched(queries, k, reordering, leaves_to_search)
        return found.distances, found.indices


class ScannSearch(tf.Module):
    """Searches a ScaNN index with each of the M vectors, and scores exactly what they find.

    Args:
        items: float32 [items, D], index 1 first; at least `SMALLEST_INDEX` of them.
        settings: Leaves, leaves to search and candidates to score exactly.
    """

    def __init__(self, items: tf.Tensor, settings: ExportSettings):
        super().__init__()
        self.leaves = settings.leaves or round(math.sqrt(len(items)))
        share = min(1, max(SEARCHED_SHARE, SEARCHED_ITEMS / len(items)))
        self.leaves_to_search = settings.leaves_to_search or math.ceil(share * self.leaves)
        self.reordering = settings.reordering or REORDERED
        # What the layer is told here only shapes the index: each call says what it needs.
        index = ScannIndex(
            num_leaves=self.leaves,
            num_leaves_to_search=self.leaves_to_search,
            num_reordering_candidates=self.reordering * settings.k,
        )
        with quiet():
            self._index = index.index(items)
        self.items = tf.Variable(items, trainable=False)

    def __call__(self, queries: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        vectors, size = queries.shape[1:]
        reordering = tf.minimum(self.reordering * count, self.items.shape[0])
        # A request for many items looks into so many more leaves that it finds as many.
        share = tf.cast(reordering, tf.float32) / self.items.shape[0]
        leaves = tf.cast(tf.math.ceil(share * self.leaves), tf.int32)
        scores, places = self._index(
            tf.reshape(queries, [-1, size]),
            count,
            tf.maximum(leaves, self.leaves_to_search),
            tf.maximum(reordering, MIN_REORDERED),
        )
        places = tf.where(tf.math.is_finite(scores), tf.cast(places, tf.int32), -1)
        places = tf.sort(tf.reshape(places, [tf.shape(queries)[0], -1]), axis=1)
        missing = places < 0
        if vectors > 1:
            missing |= tf.pad(places[:, 1:] == places[:, :-1], [[0, 0], [1, 0]])
        found = tf.gather(self.items, tf.maximum(places, 0))
        # An item may have been found by another vector than the one that matches it best.
        scores = tf.reduce_max(tf.matmul(queries, found, transpose_b=True), axis=1)
        scores, best = tf.math.top_k(tf.where(missing, -math.inf, scores), count)
        return scores, tf.gather(places, best, batch_dims=1) + 1
