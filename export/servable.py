"""A trained model as a SavedModel: its signatures, raw ids in and out."""

import math

import numpy as np
import tensorflow as tf

from export.diversity import diverse_places
from export.retrieval import Search
from export.settings import ExportSettings
from export.vocabulary import Vocabulary
from tfrs_timirec.models.base import SequentialRecommender

# ComiRec's aggregation module chooses among K times as many as are asked for; its K is 4.
CANDIDATES = 4

# The ids [batch, n] and, where the model needs them, the times int64 [batch, n] of the items.
History = tuple[tf.Tensor] | tuple[tf.Tensor, tf.Tensor]


class Servable(tf.Module):
    """The signatures `recommend`, `serving_default`, `user_vectors`, `score` and `diverse`.

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
        categories: string [items]; without them there is no `diverse`.
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
        categories: list[str] | None,
    ):
        super().__init__()
        # In a list, for TensorFlow would save a tfrs.Model as a Keras model of its own.
        self._model = [model]
        self._weights = [variable.value for variable in model.state.values()]
        self._length = history_length
        self._vocabulary = vocabulary
        self._search = search
        self._settings = settings
        self._popularity = tf.constant(popularity, tf.float32)
        self._most_popular = tf.argsort(self._popularity, direction="DESCENDING", stable=True) + 1
        self._titles = None if titles is None else tf.constant(["", *titles])
        self._categories = None
        if categories is not None:
            _, numbers = np.unique(["", *categories], return_inverse=True)
            self._categories = tf.constant(numbers, tf.int32)

    @property
    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The functions to save, by name."""
        ids = self._vocabulary.dtype
        # One row each: what a server joins to batches must have one.
        k, exclude = tf.constant([self._settings.k]), tf.constant([[self._vocabulary.padding]], ids)
        rows = [tf.TensorSpec([None, None], ids, "history")]
        # The parameters of a function become the inputs of its signature, and their defaults too.
        if self._model[0].needs_times:
            rows.append(tf.TensorSpec([None, None], tf.int64, "times"))
            functions = {
                "serving_default": lambda history, times: self.recommend((history, times), k),
                "recommend": lambda history, times, k=k, exclude=exclude: self.recommend(
                    (history, times), k, exclude
                ),
                "user_vectors": lambda history, times: self.user_vectors((history, times)),
                "score": lambda history, times, candidates: self.score(
                    (history, times), candidates
                ),
                "diverse": lambda history, times, k, diversity: self.recommend(
                    (history, times), k, diversity=diversity
                ),
            }
        else:
            functions = {
                "serving_default": lambda history: self.recommend((history,), k),
                "recommend": lambda history, k=k, exclude=exclude: self.recommend(
                    (history,), k, exclude
                ),
                "user_vectors": lambda history: self.user_vectors((history,)),
                "score": lambda history, candidates: self.score((history,), candidates),
                "diverse": lambda history, k, diversity: self.recommend(
                    (history,), k, diversity=diversity
                ),
            }
        if self._categories is None:
            del functions["diverse"]
        how_many = tf.TensorSpec(None, tf.int32, "k")
        others = {
            "recommend": [
                how_many,
                tf.TensorSpec([None, None], ids, "exclude"),
            ],
            "score": [tf.TensorSpec([None, None], ids, "candidates")],
            "diverse": [how_many, tf.TensorSpec(None, tf.float32, "diversity")],
        }
        return {
            name: tf.function(function, input_signature=[*rows, *others.get(name, [])])
            for name, function in functions.items()
        }

    def recommend(
        self,
        history: History,
        k: tf.Tensor,
        exclude: tf.Tensor | None = None,
        diversity: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        """The k items with the highest scores, or a diverse set of items with high scores.

        Args:
            history: ids [batch, n], and their times.
            k: int32, one for all users or [batch]; from 1 to the catalogue's size.
            exclude: ids [batch, m] that are not to be recommended; one row stands for all users.
            diversity: float32, one for all users or [batch]: λ of `diverse_places`, which chooses
                among the best `CANDIDATES` times k items; 0 changes nothing.

        Returns:
            `item_ids` [batch, k], best first, `scores` float32 [batch, k], `interest_weights`
            float32 [batch, K] and, where titles ride along, `item_titles` [batch, k]. The width is
            the largest k; where a user has a smaller one, or fewer items are left, the padding id
            with the score −inf fills up.
        """
        size = self._search.items.shape[0]
        told = f"k must be from 1 to {size}, the size of the catalogue; it is"
        in_range = tf.debugging.Assert(tf.reduce_all((k >= 1) & (k <= size)), [told, k])
        users = tf.shape(history[0])[0]
        checks = [in_range, _one_or(users, tf.size(k), "number k")]
        if exclude is not None:
            checks.append(_one_or(users, tf.shape(exclude)[0], "row of exclude"))
        if diversity is not None:
            usable = tf.reduce_all(tf.math.is_finite(diversity) & (diversity >= 0))
            told = ["diversity must be a number from 0 up; it is", diversity]
            checks += [
                tf.debugging.Assert(usable, told),
                _one_or(users, tf.size(diversity), "number diversity"),
            ]
        with tf.control_dependencies(checks):
            known, *times = self._known(history)
        queries, weights = self._queries(known, *times)
        excluded = tf.zeros_like(known[:, :0])
        if exclude is not None:
            excluded = self._vocabulary.indices(exclude)
            excluded = tf.broadcast_to(excluded, [tf.shape(known)[0], tf.shape(excluded)[1]])
        if self._settings.exclude_history:
            excluded = tf.concat([excluded, known], axis=1)
        k = tf.broadcast_to(tf.reshape(k, [-1]), [tf.shape(known)[0]])
        most = tf.reduce_max(k)
        count = most if diversity is None else tf.minimum(CANDIDATES * most, size)
        scores, indices = self._candidates(queries, known, count, excluded)
        scores, places = tf.math.top_k(scores, count)
        if diversity is not None:
            indices = tf.gather(indices, places, batch_dims=1)
            # Not among more for the sake of other users of the batch.
            scores = tf.where(tf.sequence_mask(CANDIDATES * k, count), scores, -math.inf)
            categories = tf.gather(self._categories, indices)
            diversity = tf.reshape(diversity, [-1, 1])
            scores, places = diverse_places(scores, categories, most, diversity)
        scores = tf.where(tf.sequence_mask(k, most), scores, -math.inf)
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

    def user_vectors(self, history: History) -> dict[str, tf.Tensor]:
        """The model's query vectors.

        Args:
            history: ids [batch, n], and their times.

        Returns:
            `query_vectors` float32 [batch, M, D] and `interest_weights` float32 [batch, K].
        """
        queries, weights = self._queries(*self._known(history))
        return {"query_vectors": queries, "interest_weights": weights}

    def score(self, history: History, candidates: tf.Tensor) -> dict[str, tf.Tensor]:
        """The scores of given items.

        Args:
            history: ids [batch, n], and their times.
            candidates: ids [batch, m]; one row stands for all users.

        Returns:
            `scores` float32 [batch, m]; −inf for an id that is no item's.
        """
        rows = tf.shape(candidates)[0]
        with tf.control_dependencies([_one_or(tf.shape(history[0])[0], rows, "row of candidates")]):
            known, *times = self._known(history)
        queries, _ = self._queries(known, *times)
        indices = self._vocabulary.indices(candidates)
        places = tf.maximum(indices - 1, 0)
        vectors = tf.gather(self._search.items, places)
        scores = tf.reduce_max(tf.matmul(queries, vectors, transpose_b=True), axis=1)
        popularity = tf.gather(self._popularity, places)
        scores = tf.where(_without_history(known), popularity, scores)
        return {"scores": tf.where(indices > 0, scores, -math.inf)}

    def _known(self, history):
        """int32 [batch, n], 0 for what is no item; and the times."""
        ids, *times = history
        checks = [tf.debugging.Assert(tf.shape(ids)[0] > 0, ["The batch has no history."])]
        if times:
            same = tf.reduce_all(tf.shape(ids) == tf.shape(times[0]))
            told = ["Each item of the history needs its time: history and times have the shapes"]
            checks.append(tf.debugging.Assert(same, [*told, tf.shape(ids), tf.shape(times[0])]))
        with tf.control_dependencies(checks):
            return self._vocabulary.indices(ids), *times

    def _queries(self, known, *times):
        """Query vectors and interest weights for the newest L items of each row."""
        real = tf.cast(known > 0, tf.int32)
        from_the_end = tf.cumsum(real, axis=1, reverse=True)
        length = tf.minimum(tf.reduce_sum(real, axis=1), self._length)
        cells = tf.where((known > 0) & (from_the_end <= self._length))
        column = tf.gather(length, cells[:, 0]) - tf.gather_nd(from_the_end, cells)
        # No wider than the longest history of the batch: the model has less to compute.
        width = tf.maximum(tf.reduce_max(length), 1)
        places = tf.stack([tf.cast(cells[:, 0], tf.int32), column], axis=1)
        shape = [tf.shape(known)[0], width]
        newest = [
            tf.scatter_nd(places, tf.gather_nd(values, cells), shape) for values in (known, *times)
        ]
        return self._model[0].queries_and_weights(*newest)

    def _candidates(self, queries, known, k, excluded):
        """At least k scores and indices a row; −inf for those that may not be recommended."""
        # So many more that k are left, whatever is excluded.
        most_excluded = tf.reduce_max(tf.reduce_sum(tf.cast(excluded > 0, tf.int32), axis=1))
        count = tf.minimum(k + most_excluded, self._search.items.shape[0])
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


def _one_or(users, count, what):
    """Asserts that there is one of something for all users or one for each."""
    told = f"There must be one {what} for all users, or one for each; there are"
    return tf.debugging.Assert((count == 1) | (count == users), [told, count])


def _without_history(known):
    """bool [batch, 1]"""
    return tf.reduce_all(known == 0, axis=1, keepdims=True)
