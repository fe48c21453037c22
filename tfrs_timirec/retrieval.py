"""The items with the highest scores: all are scored, so that the answer is exact."""

import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfrs_timirec.data.instances import Instances
from tfrs_timirec.models.base import SequentialRecommender

# So many query vectors are scored with so many items at a time, whatever the catalogue's size.
VECTORS_A_BLOCK = 512
ITEMS_A_BLOCK = 2**14


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
    """Finds the best items with one model, compiled once.

    A user without a history gets the most popular items, with their shares of the interactions in
    training as scores.

    Args:
        system: The trained system.
        counts: int64 [items], interactions of each item in training.
    """

    def __init__(self, system: SequentialRecommender, counts: np.ndarray):
        self._system = system
        self._popularity = (counts / max(1, counts.sum())).astype(np.float32)
        self._items = system.item_vectors()
        # One trace for all widths: each thread would begin its own, and TensorFlow warns of many.
        inputs = {
            tensor.name: tf.TensorSpec([None, None], tensor.dtype)
            for tensor in system.user_tower.inputs
        }
        places = tf.TensorSpec([None, None], tf.int64)
        self._queries = tf.function(system.query_vectors, input_signature=[inputs], autograph=False)
        self._origins = tf.function(self._origin, input_signature=[inputs, places], autograph=False)

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
        vectors = self._system.user_tower.output["query_vectors"].shape[1]

        def answer(batch: tuple[np.ndarray, int]) -> Best:
            block, width = batch
            given = histories.inputs(block, width)
            inputs = {name: given[name] for name in self._system.tower_inputs}
            unknown = ~inputs["history"].any(axis=1)
            rows, items = histories.no_candidates(block)

            def change(scores: np.ndarray, begin: int) -> None:
                end = begin + scores.shape[1]
                scores[unknown] = self._popularity[begin:end]
                scores[:, ~allowed[begin:end]] = -np.inf
                here = (items > begin) & (items <= end)
                scores[rows[here], items[here] - 1 - begin] = -np.inf

            places, scores = exact_best(self._queries(inputs), self._items, k, change)
            items = np.where(np.isfinite(scores), places + 1, 0).astype(np.int32)
            if not explain:
                return Best(block, items, scores)
            return Best(block, items, scores, *map(np.asarray, self._origins(inputs, places)))

        # A block a core: what is not a matrix product has one thread each.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            yield from pool.map(answer, histories.batches(max(1, VECTORS_A_BLOCK // vectors)))

    def _origin(self, inputs, places):
        given = self._system.represent(inputs)
        found = tf.gather(self._items, places)
        matches = tf.einsum("ukd,und->unk", given["interests"], found)
        weights = given["interest_weights"]
        origin = tf.argmax(matches * weights[:, None], axis=2, output_type=tf.int32)
        return origin, weights, given["attention"]


def exact_best(
    queries: tf.Tensor,
    items: tf.Tensor,
    k: int,
    change: Callable[[np.ndarray, int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The items with the highest maximum over the M dot products, the best first.

    Args:
        queries: float32 [users, M, D].
        items: float32 [items, D].
        k: How many, at most the catalogue's size.
        change: Called with the scores of a block of items, float32 [users, n], and the place of its
            first item, to change them before they are compared.

    Returns:
        int64 [users, k], places, of equal scores the first one first, and float32 [users, k].
    """
    users, vectors, size = queries.shape
    places, best = np.zeros((users, 0), np.int64), np.zeros((users, 0), np.float32)
    for begin in range(0, len(items), ITEMS_A_BLOCK):
        block = items[begin : begin + ITEMS_A_BLOCK]
        products = tf.matmul(tf.reshape(queries, [-1, size]), block, transpose_b=True)
        # NumPy's view of a tensor's memory is read-only; its maximum is not.
        scores = np.asarray(products).reshape(users, vectors, -1).max(axis=1)
        if change:
            change(scores, begin)
        found, values = top_k(scores, min(k, len(block)))
        if begin:
            found = np.concatenate([places, begin + found], axis=1)
            # Of equal ones the first remain first, since the blocks come in their order.
            found, values = _first_k(found, np.concatenate([best, values], axis=1), k)
        places, best = found, values
    return places, best


def top_k(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k largest of each row, the largest first; of equal ones the first.

    The k groups with the largest maxima hold k items that are not smaller than the smallest of
    these maxima. So only the few items that are not smaller than it need to be sorted. Groups of
    about √(n / k) items leave as few maxima as items; maxima are the cheaper ones to compare.

    Args:
        scores: float32 [rows, n].
        k: How many, at most n.

    Returns:
        int64 [rows, k], places, and float32 [rows, k], scores.
    """
    rows, count = scores.shape
    groups = max(k, count // (2 * math.isqrt(count // k)))
    size = count // groups
    maxima = scores[:, : groups * size].reshape(rows, size, groups).max(axis=1)
    least = np.partition(maxima, groups - k, axis=1)[:, groups - k, None]
    found = np.flatnonzero(scores >= least)
    ends = np.searchsorted(found, count * np.arange(1, rows + 1))
    lengths = np.diff(ends, prepend=0)[:, None]
    inside = np.arange(lengths.max()) < lengths
    places = np.zeros(inside.shape, np.int64)
    values = np.full(inside.shape, -np.inf, np.float32)
    places[inside] = found % count
    values[inside] = scores.ravel()[found]
    return _first_k(places, values, k)


def _first_k(places, scores, k):
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(places, order, axis=1), np.take_along_axis(scores, order, axis=1)
