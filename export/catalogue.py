"""What can be recommended to a user, and its scores."""

import math

import numpy as np
import tensorflow as tf

from tfrs_timirec.export.bounds import bounded
from tfrs_timirec.export.retrieval import Search
from tfrs_timirec.export.settings import ExportSettings


class Catalogue(tf.Module):
    """The items, how the best of them are found, and the most popular ones for unknown users.

    A user is unknown without any known item in the history; the scores are then the items' shares
    of all interactions in training.

    Args:
        search: Finds the best items of queries.
        popularity: float32 [items], the share of each item of the interactions in training.
        settings: The bounds of a request.
    """

    def __init__(self, search: Search, popularity: np.ndarray, settings: ExportSettings):
        super().__init__()
        self._most_candidates = settings.input_elements
        self._search = search
        self._popularity = tf.constant(popularity, tf.float32)
        self._most_popular = tf.argsort(self._popularity, direction="DESCENDING", stable=True) + 1

    @property
    def size(self) -> int:
        """How many items there are."""
        return self._search.items.shape[0]

    def vectors(self, indices: tf.Tensor) -> tf.Tensor:
        """float32 [..., D] of item indices; those of some item for 0."""
        return tf.gather(self._search.items, tf.maximum(indices - 1, 0))

    def scores(self, queries: tf.Tensor, unknown: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
        """The scores of given items.

        Args:
            queries: float32 [batch, M, D].
            unknown: bool [batch, 1], which users are.
            indices: int32 [1 or batch, m], items, or 0 for what is none; one row stands for all.

        Returns:
            float32 [batch, m]; −inf for what is no item.
        """
        scores = tf.matmul(queries, self.vectors(indices), transpose_b=True)
        popularity = tf.gather(self._popularity, tf.maximum(indices - 1, 0))
        scores = tf.where(unknown, popularity, tf.reduce_max(scores, axis=1))
        return tf.where(indices > 0, scores, -math.inf)

    def candidates(
        self,
        queries: tf.Tensor,
        unknown: tf.Tensor,
        count: tf.Tensor,
        among: tf.Tensor,
        restricted: tf.Tensor,
        excluded: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Items that have the best ones of each user among them.

        Args:
            queries: float32 [batch, M, D].
            unknown: bool [batch, 1], which users are.
            count: int32, how many of the best.
            among: int32 [1 or batch, m], the only items that a restricted user may get; 0 is none.
            restricted: bool [1 or batch, 1], which users are.
            excluded: int32 [batch, e], items that a user does not get; 0 is none.

        Returns:
            float32 [batch, n] scores and int32 [batch, n] item indices, n at least `count`; a
            score of −inf marks a place without an item.
        """
        users = tf.shape(queries)[0]
        # So many more that enough are left, whatever is excluded.
        most_excluded = tf.reduce_max(tf.math.count_nonzero(excluded, axis=1, dtype=tf.int32))
        wider = tf.minimum(count + most_excluded, self.size)
        told = (
            f"k and what is excluded may be at most {self._most_candidates} items for all users, "
            f"each query vector of theirs counted; they are"
        )
        wider = bounded(wider, [users, wider, queries.shape[1]], self._most_candidates, told)
        popular = self._most_popular[None, :wider]

        def none():
            return tf.zeros([users, 0]), tf.zeros([users, 0], tf.int32)

        def searched():
            scores, indices = self._search(queries, wider)
            scores = tf.where(unknown, tf.gather(self._popularity, popular - 1), scores)
            return scores, tf.where(unknown, popular, indices)

        def named():
            missing = tf.maximum(count - tf.shape(among)[1], 0)
            indices = tf.sort(tf.pad(among, [[0, 0], [0, missing]]), axis=1)
            again = tf.pad(indices[:, 1:] == indices[:, :-1], [[0, 0], [1, 0]])
            indices = tf.where(again, 0, indices)
            scores = self.scores(queries, unknown, indices)
            return scores, tf.broadcast_to(indices, tf.shape(scores))

        # Neither is computed where nobody needs it: most requests come with no restriction.
        by_search = tf.cond(tf.reduce_all(restricted), none, searched)
        by_name = tf.cond(tf.reduce_any(restricted), named, none)
        scores = tf.concat(
            [
                tf.where(restricted, -math.inf, by_search[0]),
                tf.where(restricted, by_name[0], -math.inf),
            ],
            axis=1,
        )
        indices = tf.concat([by_search[1], by_name[1]], axis=1)
        excluded = tf.sort(tf.pad(excluded, [[0, 0], [0, 1]]), axis=1)
        place = tf.minimum(tf.searchsorted(excluded, indices), tf.shape(excluded)[1] - 1)
        allowed = tf.gather(excluded, place, batch_dims=1) != indices
        return tf.where(allowed, scores, -math.inf), indices
