"""Trained recommenders from whose ranking of the catalogue another one learns."""

from collections.abc import Sequence
from functools import reduce

import tensorflow as tf
from keras import ops

from tfrs_timirec.models.base import SequentialRecommender


class Teacher:
    """What trained recommenders expect to come next.

    (Hinton et al., 2015, section 2; Furlanello et al., ICML 2018, section 3, where teacher and
    student are alike.) Recommenders of several query vectors, which need a lookup in the index for
    each of them, can so teach one that has a single vector.

    Args:
        systems: The recommenders, of one catalogue.
    """

    def __init__(self, systems: Sequence[SequentialRecommender]):
        self._systems = systems

    def __call__(self, inputs: dict[str, tf.Tensor], follows_each: bool) -> tf.Tensor:
        """The probability of each item of the catalogue to follow a history.

        Args:
            inputs: What the towers take; other keys are ignored.
            follows_each: Whether each beginning of the histories is one.

        Returns:
            float32 [batch, items], or [batch · n, items] in the order of `represent_prefixes`; the
            softmax of the scores' mean over the recommenders.
        """
        scores = [_scores(system, inputs, follows_each) for system in self._systems]
        return ops.stop_gradient(ops.softmax(sum(scores) / len(scores)))


def _scores(system: SequentialRecommender, inputs, follows_each: bool):
    represent = system.represent_prefixes if follows_each else system.represent
    queries = represent(inputs)["query_vectors"]
    items = ops.transpose(system.item_vectors())
    # One vector after the other: all products at once are M times the memory.
    return reduce(ops.maximum, [ops.matmul(query, items) for query in ops.unstack(queries, axis=1)])
