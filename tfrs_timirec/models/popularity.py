"""Popularity: the baseline that every learned system must pass."""

import keras
import numpy as np
import tensorflow as tf

from tfrs_timirec.config import ModelSettings
from tfrs_timirec.models.base import SequentialRecommender


class Popularity(SequentialRecommender):
    """Scores an item with how often it was interacted with in training.

    Args:
        counts: int [items], interactions of each item, index 1 first.
    """

    title = "popularity"

    def __init__(self, counts: np.ndarray):
        super().__init__(len(counts), ModelSettings(embedding_size=1), initial_stddev=0.0, seed=0)
        self._counts = tf.constant(counts[:, None], tf.float32)

    @property
    def keras_layers(self) -> list[keras.layers.Layer]:
        return []

    def query_vectors(self, history: tf.Tensor, training: bool = False) -> tf.Tensor:
        return tf.ones([tf.shape(history)[0], 1, 1])

    def item_vectors(self) -> tf.Tensor:
        return self._counts

    def phases(self) -> list[SequentialRecommender]:
        return []
