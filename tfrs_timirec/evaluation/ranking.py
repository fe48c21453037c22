"""The rank of each user's target among candidates, for any recommender."""

from collections.abc import Callable
from functools import reduce

import numpy as np
import tensorflow as tf

from tfrs_timirec.data.instances import Instances
from tfrs_timirec.errors import UserError
from tfrs_timirec.models.base import SequentialRecommender

# Users are ranked in blocks of this many, fewer if the catalogue is larger than this allows.
USERS_A_BLOCK = 512
SCORES_A_BLOCK = 2**23


class Ranker:
    """Ranks targets with one model; compiled once, used every epoch.

    Args:
        model: The recommender.
    """

    def __init__(self, model: SequentialRecommender):
        self._model = model
        self._sampled = tf.function(
            self._count_sampled, jit_compile=True, reduce_retracing=True, autograph=False
        )
        self._catalogue = tf.function(self._count_catalogue, reduce_retracing=True, autograph=False)
        self._oracle = tf.function(self._count_oracle, reduce_retracing=True, autograph=False)

    def ranks(self, instances: Instances, negatives: np.ndarray | None) -> np.ndarray:
        """Counts the candidates that score as high as each target or higher.

        A tie counts against the target, so that constant scores earn nothing. Scores that differ by
        no more than rounding can make of equal ones are a tie.

        Args:
            instances: Targets with their histories.
            negatives: int32 [users, n], candidates beside the targets, 0 for none; without it,
                the whole catalogue less the history and the user's targets.

        Returns:
            int64 [instances]; 0 is the best.

        Raises:
            UserError: If a vector is not of finite numbers.
        """

        def count(inputs, targets, block, users):
            if negatives is None:
                return self._catalogue(inputs, targets, *instances.no_candidates(block))
            return self._sampled(inputs, targets, negatives[instances.users[users]])

        return self._counted(instances, count)

    def oracle_ranks(self, instances: Instances) -> np.ndarray:
        """The ranks that each target has with the one of the user's interests that suits it best.

        What a perfect choice among the K interests would reach.

        Args:
            instances: Targets with their histories.

        Returns:
            int64 [instances], the least over the interests of what `ranks` counts in the whole
            catalogue with one of them as the query vector.

        Raises:
            UserError: If a vector is not of finite numbers.
        """

        def count(inputs, targets, block, users):
            return self._oracle(inputs, targets, *instances.no_candidates(block))

        return self._counted(instances, count)

    def _counted(self, instances: Instances, count: Callable) -> np.ndarray:
        ranks = np.empty(len(instances), np.int64)
        size = max(1, min(USERS_A_BLOCK, SCORES_A_BLOCK // self._model.num_items))
        for block, width in instances.batches(size):
            # The last block is filled up, so that it needs no compilation of its own.
            users = np.resize(block, size)
            inputs, targets = instances.inputs(users, width), instances.positives[users]
            counts, broken = count(inputs, targets, block, users)
            if broken:
                raise UserError(
                    f"The scores of {type(self._model).__name__} are not numbers (NaN or "
                    "infinite): its weights are broken; train again with a lower "
                    "training.learning_rate (of a second phase: training.second_learning_rate)."
                )
            ranks[block] = counts.numpy()[: len(block)]
        return ranks

    def _count_sampled(self, inputs, targets, negatives):
        queries = self._model.query_vectors(inputs)
        items = self._model.item_vectors()
        candidates = tf.concat([targets[:, None], negatives], axis=1)
        scores = scores_of_candidates(queries, items, tf.maximum(candidates - 1, 0))
        least = scores[:, :1] - rounding(queries, tf.gather(items, targets - 1))
        at_or_above = (scores[:, 1:] >= least) & (negatives > 0)
        return tf.reduce_sum(tf.cast(at_or_above, tf.int32), axis=1), _any_broken(queries, items)

    def _count_catalogue(self, inputs, targets, rows, touched):
        queries = self._model.query_vectors(inputs)
        items = self._model.item_vectors()
        count = _count_at_or_above(queries, items, targets, rows, touched)
        return count, _any_broken(queries, items)

    def _count_oracle(self, inputs, targets, rows, touched):
        interests = self._model.represent(inputs)["interests"]
        items = self._model.item_vectors()
        counts = [
            _count_at_or_above(interest, items, targets, rows, touched)
            for interest in tf.split(interests, interests.shape[1], axis=1)
        ]
        return reduce(tf.minimum, counts), _any_broken(interests, items)


def _count_at_or_above(queries, items, targets, rows, touched):
    """int32 [users], the candidates of the catalogue that score at least as high as the target."""
    scores = _scores(queries, items)
    target = tf.gather(scores, targets[:, None] - 1, axis=1, batch_dims=1)
    least = target - rounding(queries, tf.gather(items, targets - 1))
    at_or_above = tf.cast(scores >= least, tf.int32)
    # The user's history and targets are no candidates.
    excluded = tf.stack([rows, touched - 1], axis=1)
    among_excluded = tf.math.unsorted_segment_sum(
        tf.gather_nd(at_or_above, excluded), rows, tf.shape(targets)[0]
    )
    return tf.reduce_sum(at_or_above, axis=1) - among_excluded


def scores_of_candidates(queries: tf.Tensor, items: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Each user's scores of their own candidates.

    Args:
        queries: float32 [users, M, D].
        items: float32 [items, D].
        index: int32 [users, n], rows of `items`.

    Returns:
        float32 [users, n].
    """

    def of_user(user):
        user_queries, user_index = user
        vectors = tf.gather(items, user_index)
        return reduce(tf.maximum, [tf.linalg.matvec(vectors, q) for q in tf.unstack(user_queries)])

    # User by user, the candidates' vectors stay in the processor's cache.
    return tf.map_fn(of_user, (queries, index), fn_output_signature=tf.float32)


def rounding(queries: tf.Tensor, vectors: tf.Tensor) -> tf.Tensor:
    """How far apart two computations of one score can be.

    A processor adds up the D products of a score in an order that depends on the item's place in
    the matrix. Whatever the order, the sum is within D·ε/2 · Σ|q_d·i_d| of the true one, and the
    latter at most ‖q‖·‖i‖ (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1).

    Args:
        queries: float32 [users, M, D].
        vectors: float32 [users, D], an item for each.

    Returns:
        float32 [users, 1].
    """
    size = tf.reduce_max(tf.norm(queries, axis=2), axis=1) * tf.norm(vectors, axis=1)
    return (queries.shape[2] * float(np.finfo(np.float32).eps) * size)[:, None]


def _scores(queries, items):
    """float32 [batch, items] of queries [batch, M, D] and items [items, D]."""
    vectors, size = queries.shape[1:]
    scores = tf.matmul(tf.reshape(queries, [-1, size]), items, transpose_b=True)
    return tf.reduce_max(tf.reshape(scores, [-1, vectors, items.shape[0]]), axis=1)


def _any_broken(queries, items):
    # Asked of the vectors: XLA's maximum over the M scores of an item would lose a NaN.
    finite = [tf.reduce_all(tf.math.is_finite(vectors)) for vectors in (queries, items)]
    return ~(finite[0] & finite[1])
