"""The items with the highest scores: by scoring all of them, or with a ScaNN index."""

import math
import uuid
from itertools import product
from typing import Protocol

import numpy as np
import tensorflow as tf

from tfrs_timirec.evaluation.ranking import rounding
from tfrs_timirec.export.bounds import bounded
from tfrs_timirec.export.settings import ExportSettings
from tfrs_timirec.quiet import quiet
from tfrs_timirec.retrieval import exact_best
from tfrs_timirec.tfrs import tfrs

# A tree and its codebooks need some hundred items to be trained on.
SMALLEST_INDEX = 1_000
# How many of the best items are to be found: recall@100, of a smaller catalogue's all.
RECALL_AT = 100
# Candidates for each item asked for, and how many items of the leaves that are searched cost as
# much as scoring one of them, which `benchmarks.retrieval --costs true` measures.
REORDERINGS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
ITEMS_A_CANDIDATE = 15
MIN_REORDERED = 100
# From so many scores on the best of some hundred are found by groups; measured likewise.
GROUPED = 100_000


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
        find = tf.math.top_k if self.items.shape[0] < GROUPED else best_by_groups
        scores, places = find(scores, count)
        return scores, places + 1


def best_by_groups(scores: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """What `tf.math.top_k` gives: the largest of each row, of equal ones the first.

    The best items are in the groups with the largest maxima: of any other group's item as many
    larger ones, or equal ones before it, are in these, for a group's items are neighbours.

    Args:
        scores: float32 [rows, n].
        count: int32, how many, at most n.

    Returns:
        float32 [rows, count] and int32 [rows, count], their places.
    """
    total = tf.shape(scores)[1]
    size = tf.cast(tf.sqrt(tf.cast(total // count, tf.float32)), tf.int32)
    padded = tf.pad(scores, [[0, 0], [0, -total % size]], constant_values=-math.inf)
    groups = tf.reshape(padded, [tf.shape(scores)[0], -1, size])
    best = tf.math.top_k(tf.reduce_max(groups, axis=2), count, sorted=False).indices
    best = tf.sort(best, axis=1)
    items = tf.gather(groups, best, batch_dims=1)
    scores, places = tf.math.top_k(tf.reshape(items, [-1, count * size]), count)
    return scores, tf.gather(best, places // size, batch_dims=1) * size + places % size


class ScannIndex(tfrs.layers.factorized_top_k.ScaNN):
    """The layer of TensorFlow Recommenders, with a say in each call's effort.

    Args:
        leaves: Of the tree.
        quantize: What candidates are scored with: `float32` or `int8`.
    """

    def __init__(self, leaves: int, quantize: str):
        # Here, for the exact search needs no such package.
        from scann.scann_ops.py import scann_ops
        from scann.scann_ops.py.scann_builder import ReorderType

        super().__init__()
        self._scann_ops = scann_ops

        def build_searcher(items):
            # How many are searched, and how many scored, only shapes it: each call says anew.
            builder = scann_ops.builder(items, RECALL_AT, "dot_product").tree(leaves, leaves)
            builder = builder.score_ah(dimensions_per_block=2)
            builder = builder.reorder(RECALL_AT, ReorderType[quantize.upper()])
            return builder.build(shared_name=f"{self.name}/{uuid.uuid4()}")

        # The layer's own builder has no quantized vectors.
        self._build_searcher = build_searcher

    def call(self, queries, k, leaves_to_search, reordering):
        """The best of some candidates.

        Args:
            queries: float32 [queries, D].
            k: int32, how many.
            leaves_to_search: int32, leaves that are looked into.
            reordering: int32, how many candidates are scored.

        Returns:
            float32 [queries, k] scores, NaN where too few were found, and int32 [queries, k] rows.
        """
        searcher = self._scann_ops.searcher_from_module(self._serialized_searcher)
        found = searcher.search_batched(queries, k, reordering, leaves_to_search)
        return found.distances, found.indices


class ScannSearch(tf.Module):
    """Searches a ScaNN index with each of the M vectors, and scores exactly what they find.

    The index has √items leaves. How many of them a query searches and how many candidates are
    scored is the cheapest choice that reaches the target on given queries with a margin of two
    standard errors, for both that are not set: how many are needed grows with the catalogue, and
    depends on how the vectors lie. Where none reaches it, the best is taken.

    Args:
        items: float32 [items, D], index 1 first; at least `SMALLEST_INDEX` of them.
        queries: float32 [users, M, D], like those that will be asked with.
        settings: The target, and what is not to be chosen.

    Attributes:
        leaves: Of the tree.
        leaves_to_search: Leaves that a query searches.
        reordering: Candidates that are scored for each item asked for.
        recall: The share of the exact best `RECALL_AT` that is found with the queries.
    """

    def __init__(self, items: tf.Tensor, queries: tf.Tensor, settings: ExportSettings):
        super().__init__()
        self.leaves = settings.leaves or round(math.sqrt(len(items)))
        with quiet():
            self._index = ScannIndex(self.leaves, settings.quantize).index(items)
        self.items = tf.Variable(items, trainable=False)
        halves = [math.ceil(self.leaves / 2**n) for n in range(self.leaves.bit_length())]
        efforts = product(
            [settings.leaves_to_search] if settings.leaves_to_search else halves,
            [settings.reordering] if settings.reordering else REORDERINGS,
        )
        count = min(RECALL_AT, len(items))
        size = len(items) / self.leaves

        def cost(effort: tuple[int, int]) -> float:
            return effort[0] * size + effort[1] * count * ITEMS_A_CANDIDATE

        # Compiled, the index is read once and not for each call.
        number = tf.TensorSpec([], tf.int32)
        search = tf.function(
            self._search,
            input_signature=[tf.TensorSpec([None, *queries.shape[1:]]), number, number, number],
            autograph=False,
        )
        self.recall = -1.0
        places, scores = exact_best(queries, items, count)
        least = scores[:, -1:] - rounding(queries, tf.gather(items, places[:, -1]))
        for leaves_to_search, reordering in sorted(efforts, key=cost):
            found = search(queries, count, leaves_to_search, reordering)[0]
            shares = np.mean(found >= least, axis=1)
            if shares.mean() > self.recall:
                self.leaves_to_search, self.reordering = leaves_to_search, reordering
                self.recall = float(shares.mean())
            margin = 2 * shares.std() / math.sqrt(len(shares))
            if shares.mean() - margin >= settings.target_recall:
                break

    def __call__(self, queries: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self._search(queries, count, self.leaves_to_search, self.reordering)

    def _search(self, queries, count, leaves_to_search, reordering):
        vectors, size = queries.shape[1:]
        reordering = tf.minimum(reordering * count, self.items.shape[0])
        # A request for many items looks into so many more leaves that it finds as many.
        share = tf.cast(reordering, tf.float32) / self.items.shape[0]
        leaves = tf.cast(tf.math.ceil(share * self.leaves), tf.int32)
        scores, places = self._index(
            tf.reshape(queries, [-1, size]),
            count,
            tf.maximum(leaves, leaves_to_search),
            tf.maximum(reordering, MIN_REORDERED),
        )
        places = tf.where(tf.math.is_finite(scores), tf.cast(places, tf.int32), -1)
        # Of few leaves there may be fewer items than are asked for.
        few = tf.maximum(count - tf.shape(places)[1], 0)
        places = tf.pad(places, [[0, 0], [0, few]], constant_values=-1)
        places = tf.sort(tf.reshape(places, [tf.shape(queries)[0], -1]), axis=1)
        missing = places < 0
        if vectors > 1:
            missing |= tf.pad(places[:, 1:] == places[:, :-1], [[0, 0], [1, 0]])
        found = tf.gather(self.items, tf.maximum(places, 0))
        # An item may have been found by another vector than the one that matches it best.
        scores = tf.reduce_max(tf.matmul(queries, found, transpose_b=True), axis=1)
        scores, best = tf.math.top_k(tf.where(missing, -math.inf, scores), count)
        return scores, tf.gather(places, best, batch_dims=1) + 1
