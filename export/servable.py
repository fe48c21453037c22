"""A trained recommender as a SavedModel: its signatures, raw ids in and out."""

import math

import numpy as np
import tensorflow as tf

from tfrs_timirec.export.bounds import bounded
from tfrs_timirec.export.catalogue import Catalogue
from tfrs_timirec.export.checks import checked
from tfrs_timirec.export.diversity import diverse_places
from tfrs_timirec.export.interests import reweighted, strongest_interest
from tfrs_timirec.export.settings import ExportSettings
from tfrs_timirec.export.signatures import Tensors, signature
from tfrs_timirec.export.users import Tower
from tfrs_timirec.export.vocabulary import Vocabulary

# ComiRec's aggregation module chooses among K times as many as are asked for; its K is 4.
CANDIDATES = 4


class Servable(tf.Module):
    """The signatures `recommend`, `explain`, `diverse`, `score` and `user_vectors`.

    `serving_default` is `recommend` of a history alone. Each takes its inputs and gives its outputs
    by name. These have the same meaning in all:

    - `history` ids [batch, n], oldest first, of any length; unknown ids and padding are dropped
      wherever they are, and the newest L of the others make the history. A user without one gets
      the most popular items, whose scores are their shares of all interactions in training.
    - `times` int64 [batch, n], of the items of the history, where the user tower takes them.
    - `k` int32, [] or [batch]: how many items, from 1 to the catalogue's size.
    - `exclude` ids [1 or batch, m]: what is not to be recommended.
    - `among` ids [1 or batch, m]: the only items that may be; a row of padding restricts nothing.
    - `interest_weights` float32 [1 or batch, K]: what the weights of the interests are multiplied
      by, see `reweighted`.

    Args:
        tower: Makes users of histories.
        vocabulary: The catalogue's ids.
        catalogue: The items and how they are found.
        settings: What the signatures answer.
        titles: string [items], what rides along with each item; none without.
        categories: string [items]; without them there is no `diverse`.
    """

    def __init__(
        self,
        tower: Tower,
        vocabulary: Vocabulary,
        catalogue: Catalogue,
        settings: ExportSettings,
        titles: list[str] | None,
        categories: list[str] | None,
    ):
        super().__init__()
        self._tower = tower
        self._vocabulary = vocabulary
        self._catalogue = catalogue
        self._settings = settings
        self._titles = None if titles is None else tf.constant(["", *titles])
        self._categories = None
        if categories is not None:
            _, numbers = np.unique(["", *categories], return_inverse=True)
            self._categories = tf.constant(numbers, tf.int32)
        # One row each: what a server joins to batches must have one.
        padding = tf.constant([[vocabulary.padding]], vocabulary.dtype)
        self._defaults = {
            "k": tf.constant([settings.k]),
            "exclude": padding,
            "among": padding,
            "interest_weights": tf.ones([1, tower.num_interests]),
        }

    @property
    def signatures(self) -> dict[str, tf.types.experimental.PolymorphicFunction]:
        """The functions to save, by name."""
        user, ids = self._tower.inputs, tf.TensorSpec([None, None], self._vocabulary.dtype)
        choice = {
            "k": tf.TensorSpec(None, tf.int32),
            "exclude": ids,
            "among": ids,
            "interest_weights": tf.TensorSpec([None, self._tower.num_interests], tf.float32),
        }
        signatures = {
            "serving_default": signature(self.recommend, user, {}),
            "recommend": signature(self.recommend, user | choice, self._defaults),
            "explain": signature(self.explain, user | choice, self._defaults),
            "score": signature(self.score, user | {"candidates": ids}, {}),
            "user_vectors": signature(self.user_vectors, user, {}),
        }
        if self._categories is not None:
            diverse = user | {"diversity": tf.TensorSpec(None, tf.float32)} | choice
            signatures["diverse"] = signature(self.explain, diverse, self._defaults)
        return signatures

    def recommend(self, inputs: Tensors) -> Tensors:
        """The k items with the highest scores, or a diverse set of items with high scores.

        Args:
            inputs: Those of the tower; optional are `k`, `exclude`, `among`, `interest_weights` and
                `diversity`, float32, [] or [batch]: λ of `diverse_places`, which chooses among the
                best `CANDIDATES` times k items; 0 changes nothing.

        Returns:
            `item_ids` [batch, k], best first, `scores` float32 [batch, k], `interest_weights`
            float32 [batch, K] as they were multiplied and, where titles ride along, `item_titles`
            [batch, k]. The width is the largest k; where a user has a smaller one, or fewer items
            are left, the padding id with the score −inf fills up.
        """
        return self._answer(*self._best(inputs))

    def explain(self, inputs: Tensors) -> Tensors:
        """What `recommend` answers, and where it comes from.

        Args:
            inputs: Those of `recommend`; `diverse` is this with its `diversity`.

        Returns:
            What `recommend` returns; `item_interests` int32 [batch, k], the interest that each item
            comes from, from 0, or −1 for what fills up and for users without a history; and
            `attention` float32 [batch, n, K], the share of each place of the history in each
            interest; 0 for what is no item, or older than the newest L.
        """
        users, scores, indices = self._best(inputs)
        interests = strongest_interest(users, self._catalogue.vectors(indices))
        from_interest = tf.math.is_finite(scores) & ~users.unknown
        return self._answer(users, scores, indices) | {
            "item_interests": tf.where(from_interest, interests, -1),
            "attention": users.attention,
        }

    def score(self, inputs: Tensors) -> Tensors:
        """The scores of given items.

        Args:
            inputs: Those of the tower, and `candidates`, ids [1 or batch, m].

        Returns:
            `scores` float32 [batch, m]; −inf for an id that is no item's.
        """
        inputs = checked(inputs, self._catalogue.size, self._settings)
        users = self._tower(inputs)
        indices = self._vocabulary.indices(inputs["candidates"])
        return {"scores": self._catalogue.scores(users.queries, users.unknown, indices)}

    def user_vectors(self, inputs: Tensors) -> Tensors:
        """The query vectors of the model.

        Args:
            inputs: Those of the tower.

        Returns:
            `query_vectors` float32 [batch, M, D], `interests` float32 [batch, K, D], what they are
            made of, and `interest_weights` float32 [batch, K].
        """
        users = self._tower(checked(inputs, self._catalogue.size, self._settings))
        return {
            "query_vectors": users.queries,
            "interests": users.interests,
            "interest_weights": users.weights,
        }

    def _best(self, inputs):
        """The users, and scores and item indices of their best items, [batch, k]."""
        inputs = checked(self._defaults | inputs, self._catalogue.size, self._settings)
        users = reweighted(self._tower(inputs), inputs["interest_weights"])
        batch = tf.shape(users.history)[0]
        excluded = self._vocabulary.indices(inputs["exclude"])
        excluded = tf.broadcast_to(excluded, [batch, tf.shape(excluded)[1]])
        if self._settings.exclude_history:
            excluded = tf.concat([excluded, users.history], axis=1)
        k = tf.broadcast_to(tf.reshape(inputs["k"], [-1]), [batch])
        most = tf.reduce_max(k)
        diversity = inputs.get("diversity")
        count = most if diversity is None else tf.minimum(CANDIDATES * most, self._catalogue.size)
        if diversity is not None:
            scores = self._settings.request_scores
            told = f"Users times candidates times k of diverse sets may be at most {scores}; it is"
            count = bounded(count, [batch, count, most], scores, told)
        scores, indices = self._catalogue.candidates(
            users.queries,
            users.unknown,
            count,
            self._vocabulary.indices(inputs["among"]),
            self._vocabulary.restricts(inputs["among"]),
            excluded,
        )
        scores, places = tf.math.top_k(scores, count)
        if diversity is not None:
            indices = tf.gather(indices, places, batch_dims=1)
            # Not among more for the sake of other users of the batch.
            scores = tf.where(tf.sequence_mask(CANDIDATES * k, count), scores, -math.inf)
            categories = tf.gather(self._categories, indices)
            scores, places = diverse_places(
                scores, categories, most, tf.reshape(diversity, [-1, 1])
            )
        scores = tf.where(tf.sequence_mask(k, most), scores, -math.inf)
        indices = tf.gather(indices, places, batch_dims=1)
        return users, scores, tf.where(tf.math.is_finite(scores), indices, 0)

    def _answer(self, users, scores, indices):
        answer = {
            "item_ids": self._vocabulary.ids(indices),
            "scores": scores,
            "interest_weights": users.weights,
        }
        if self._titles is not None:
            answer["item_titles"] = tf.gather(self._titles, indices)
        return answer
