"""The items with the highest scores: all are scored, so that the answer is exact."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfrs_timirec.data.instances import Instances
from tfrs_timirec.models.base import SequentialRecommender

# Users are scored in blocks of this many, fewer if the catalogue is larger than this allows.
USERS_A_BLOCK = 256
SCORES_A_BLOCK = 2**23
ITEMS_A_GROUP = 10


@dataclass(frozen=True, eq=False)
class Best:
    """The best items of some users.

    Args:
        rows: int64 [users], which of the users that were asked for.
        items: int32 [users, k], indices, the best first; 0 where no more items are left.
        scores: float32 [users, k]; −inf where no more items are left.
        interests: int32 [users, k], the interest that each item comes from, from 0; None unless
            it was asked for, as what follows.
        weights: float32 [users, K], what each interest weighs.
        attention: float32 [users, n, K], the share of each item of the history in each interest.
    """

    rows: np.ndarray
    items: np.ndarray
    scores: np.ndarray
    interests: np.ndarray | None = None
    weights: np.ndarray | None = None
    attention: np.ndarray | None = None


class Retrieval:
    """Finds the best items with one model; compiled once for each width of histories.

    A user without a history gets the most popular items, with their shares of the interactions in
    training as scores.

    Args:
        system: The trained system.
        counts: int64 [items], interactions of each item in training.
    """

    def __init__(self, system: SequentialRecommender, counts: np.ndarray):
        self._system = system
        self._popularity = (counts / max(1, counts.sum())).astype(np.float32)
        # D first: the product then reads the catalogue in its order in memory.
        self._columns = tf.constant(tf.transpose(system.item_vectors()))
        self._scores = tf.function(self._score, reduce_retracing=True, autograph=False)
        self._origins = tf.function(self._origin, reduce_retracing=True, autograph=False)

    def best(
        self, histories: Instances, k: int, allowed: np.ndarray, explain: bool = False
    ) -> Iterator[Best]:
        """The best items of each user, block by block, of users with similarly long histories.

        Args:
            histories: One history per user.
            k: How many, at most the catalogue's size.
            allowed: bool [items], which items may be recommended.
            explain: Whether to say where they come from.
        """
        size = max(1, min(USERS_A_BLOCK, SCORES_A_BLOCK // self._system.num_items))
        forbidden = np.flatnonzero(~allowed)

        def answer(batch: tuple[np.ndarray, int]) -> Best:
            block, width = batch
            inputs = histories.inputs(block, width)
            scores = self._scores(inputs).numpy()
            scores[~inputs["history"].any(axis=1)] = self._popularity
            scores[:, forbidden] = -np.inf
            rows, items = histories.no_candidates(block)
            scores[rows, items - 1] = -np.inf
            places, scores = top_k(scores, k)
            items = np.where(np.isfinite(scores), places + 1, 0).astype(np.int32)
            if not explain:
                return Best(block, items, scores)
            return Best(block, items, scores, *map(np.asarray, self._origins(inputs, places)))

        # A block a core: what is not a matrix product has one thread each.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            yield from pool.map(answer, histories.batches(size))

    def _score(self, inputs):
        queries = self._system.represent(inputs)["query_vectors"]
        vectors, size = queries.shape[1:]
        scores = tf.matmul(tf.reshape(queries, [-1, size]), self._columns)
        if vectors > 1:
            count = self._columns.shape[1]
            scores = tf.reduce_max(tf.reshape(scores, [-1, vectors, count]), axis=1)
        return scores

    def _origin(self, inputs, places):
        given = self._system.represent(inputs)
        found = tf.gather(self._columns, places, axis=1)
        matches = tf.einsum("ukd,dun->unk", given["interests"], found)
        weights = given["interest_weights"]
        origin = tf.argmax(matches * weights[:, None], axis=2, output_type=tf.int32)
        return origin, weights, given["attention"]


def top_k(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k largest of each row, the largest first; of equal ones the first.

    The k groups with the largest maxima hold k items that are not smaller than the smallest of
    these maxima. So only the few items that are not smaller than it need to be sorted.

    Args:
        scores: float32 [rows, n].
        k: How many, at most n.

    Returns:
        int64 [rows, k], places, and float32 [rows, k], scores.
    """
    rows, count = scores.shape
    groups = max(k, count // ITEMS_A_GROUP)
    size = count // groups
    maxima = scores[:, : groups * size].reshape(rows, size, groups).max(axis=1)
    least = np.partition(maxima, groups - k, axis=1)[:, groups - k, None]
    row, place = np.divmod(np.flatnonzero(scores >= least), count)
    found = np.bincount(row, minlength=rows)
    column = np.arange(len(row)) - np.repeat(np.cumsum(found) - found, found)
    places = np.zeros((rows, found.max()), np.int64)
    values = np.full(places.shape, -np.inf, np.float32)
    places[row, column] = place
    values[row, column] = scores[row, place]
    order = np.argsort(-values, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(places, order, axis=1), np.take_along_axis(values, order, axis=1)
