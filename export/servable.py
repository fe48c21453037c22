"""A trained model as a SavedModel: its signatures, raw ids in and out."""

import math

import numpy as np
import tensorflow as tf

from export.retrieval import Search
from export.settings import ExportSettings
from export.vocabulary import Vocabulary
from tfrs_timirec.models.base import SequentialRecommender


class Servable(tf.Module):
    """The signatures `recommend`, `serving_default`, `user_vectors` and `score`.

    Histories are ids, oldest first, of any length; unknown ids and padding are dropped wherever
    they are, and the newest L of the others make the history. A user without one gets the most
    popular items, whose scores are then their shares of all interactions in training.

    Args:
        model: The trained model.
        history_length: L.
        vocabulary: The catalogue's ids.
        search: How the best items are found.
        popularity: float32 [items], the share of each item of the interactions in training.
        settings: What the signatures answer.
        titles: string [items], what rides along with each item; none without.
    """

    def __init__(
        self,
        model: SequentialRecommender,
        history_length: int,
        vocabulary: Vocabulary,
        search: Search,
        popularity: np.ndarray,
        settings: ExportSettings,
        titles: list[str] | None,
    ):
        super().__init__()
        # In a list, for TensorFlow would save a tfrs.Model as a Keras model of its own.
        self._model = [model]
        self._weights = [variable.value for variable in model.state.values()]
        self._length = history_length
        self._vocabulary = vocabulary
        self._search = search
        self._settings = settings
        self._items = tf.Variable(model.item_vectors(), trainable=False)
        self._popularity = tf.constant(popularity, tf.float32)
        self._most_popular = tf.argsort(self._popularity, direction="DESCENDING", stable=True) + 1
        self._titles = None if titles is None else tf.constant(["", *titles])

    @property
    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The functions to save, by name."""
        ids = self._vocabulary.dtype
        rows = tf.TensorSpec([None, None], ids, "history")

        def serving_default(history):
            return self.recommend(history, tf.constant(self._settings.k), tf.zeros([1, 0], ids))

        def recommend(
            history,
            k=tf.constant(self._settings.k),  # noqa: B008 - becomes the signature's default
            exclude=tf.constant([[self._vocabulary.padding]], ids),  # noqa: B008
        ):
            return self.recommend(history, k, exclude)

        k = tf.TensorSpec([], tf.int32, "k")
        exclude = tf.TensorSpec([None, None], ids, "exclude")
        candidates = tf.TensorSpec([None, None], ids, "candidates")
        return {
            "serving_default": tf.function(serving_default, input_signature=[rows]),
            "recommend": tf.function(recommend, input_signature=[rows, k, exclude]),
            "user_vectors": tf.function(self.user_vectors, input_signature=[rows]),
            "score": tf.function(self.score, input_signature=[rows, candidates]),
        }

    def recommend(
        self, history: tf.Tensor, k: tf.Tensor, exclude: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The k items with the highest scores.

        Args:
            history: ids [batch, n].
            k: int32, from 1 to the catalogue's size.
            exclude: ids [batch, m] that are not to be recommended; one row stands for all users.

        Returns:
            `item_ids` [batch, k], best first, `scores` float32 [batch, k], `interest_weights`
            float32 [batch, K] and, where titles ride along, `item_titles` [batch, k]. Where fewer
            than k items are left, the padding id with the score −inf fills up.
        """
        in_range = tf.debugging.Assert(
            (k >= 1) & (k <= self._items.shape[0]),
            [f"k must be from 1 to {self._items.shape[0]}, the size of the catalogue; it is", k],
        )
        with tf.control_dependencies([in_range]):
            known = self._known(history)
        queries, weights = self._queries(known)
        excluded = self._vocabulary.indices(exclude)
        excluded = tf.broadcast_to(excluded, [tf.shape(known)[0], tf.shape(excluded)[1]])
        if self._settings.exclude_history:
            excluded = tf.concat([excluded, known], axis=1)
        scores, indices = self._candidates(queries, known, k, excluded)
        scores, places = tf.math.top_k(scores, k)
        indices = tf.gather(indices, places, batch_dims=1)
        indices = tf.where(tf.math.is_finite(scores), indices, 0)
        answer = {
            "item_ids": self._vocabulary.ids(indices),
            "scores": scores,
            "interest_weights": weights,
        }
        if self._titles is not None:
            answer["item_titles"] = tf.gather(self._titles, indices)
        return answer

    def user_vectors(self, history: tf.Tensor) -> dict[str, tf.Tensor]:
        """The model's query vectors.

        Args:
            history: ids [batch, n].

        Returns:
            `query_vectors` float32 [batch, M, D] and `interest_weights` float32 [batch, K].
        """
        queries, weights = self._queries(self._known(history))
        return {"query_vectors": queries, "interest_weights": weights}

    def score(self, history: tf.Tensor, candidates: tf.Tensor) -> dict[str, tf.Tensor]:
        """The scores of given items.

        Args:
            history: ids [batch, n].
            candidates: ids [batch, m].

        Returns:
            `scores` float32 [batch, m]; −inf for an id that is no item's.
        """
        known = self._known(history)
        queries, _ = self._queries(known)
        indices = self._vocabulary.indices(candidates)
        places = tf.maximum(indices - 1, 0)
        vectors = tf.gather(self._items, places)
        scores = tf.reduce_max(tf.matmul(queries, vectors, transpose_b=True), axis=1)
        popularity = tf.gather(self._popularity, places)
        scores = tf.where(_without_history(known), popularity, scores)
        return {"scores": tf.where(indices > 0, scores, -math.inf)}

    def _known(self, history):
        """int32 [batch, n]; 0 for what is no item."""
        rows = tf.debugging.Assert(tf.shape(history)[0] > 0, ["The batch has no history."])
        with tf.control_dependencies([rows]):
            return self._vocabulary.indices(history)

    def _queries(self, known):
        """Query vectors and interest weights for the newest L items of each row."""
        real = tf.cast(known > 0, tf.int32)
        from_the_end = tf.cumsum(real, axis=1, reverse=True)
        length = tf.minimum(tf.reduce_sum(real, axis=1), self._length)
        cells = tf.where((known > 0) & (from_the_end <= self._length))
        column = tf.gather(length, cells[:, 0]) - tf.gather_nd(from_the_end, cells)
        # No wider than the longest history of the batch: the model has less to compute.
        width = tf.maximum(tf.reduce_max(length), 1)
        history = tf.scatter_nd(
            tf.stack([tf.cast(cells[:, 0], tf.int32), column], axis=1),
            tf.gather_nd(known, cells),
            [tf.shape(known)[0], width],
        )
        return self._model[0].queries_and_weights(history)

    def _candidates(self, queries, known, k, excluded):
        """At least k scores and indices a row; −inf for those that may not be recommended."""
        # So many more that k are left, whatever is excluded.
        most_excluded = tf.reduce_max(tf.reduce_sum(tf.cast(excluded > 0, tf.int32), axis=1))
        count = tf.minimum(k + most_excluded, self._items.shape[0])
        scores, indices = self._search(queries, count)
        found = tf.shape(scores)[1]
        empty = _without_history(known)
        popular = self._most_popular[None, :found]
        scores = tf.where(empty, tf.gather(self._popularity, popular - 1), scores)
        indices = tf.where(empty, popular, indices)
        excluded = tf.sort(tf.pad(excluded, [[0, 0], [0, 1]]), axis=1)
        place = tf.searchsorted(excluded, indices)
        place = tf.minimum(place, tf.shape(excluded)[1] - 1)
        allowed = tf.gather(excluded, place, batch_dims=1) != indices
        return tf.where(allowed, scores, -math.inf), indices


def _without_history(known):
    """bool [batch, 1]"""
    return tf.reduce_all(known == 0, axis=1, keepdims=True)
