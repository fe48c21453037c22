"""YouTube DNN: the mean of the history through a dense layer."""

import keras
import tensorflow as tf

from tfrs_timirec.config import ModelSettings
from tfrs_timirec.layers import HistoryMean
from tfrs_timirec.models.base import SequentialRecommender


class YouTubeDNN(SequentialRecommender):
    """One query vector, W · mean(e_1 … e_n) + b.

    (Covington et al., RecSys 2016, section 3, as in the comparison of TiMiRec's authors: of its
    features the watch history alone, of its tower one dense layer without an activation, and
    TiMiRec's loss, eq. 10 of CIKM 2022.)

    Args:
        num_items: Items of the catalogue.
        settings: The model's shape.
        initial_stddev: Standard deviation of the initial weights.
        seed: Of the initial weights.
    """

    title = "YouTube DNN"

    def __init__(self, num_items: int, settings: ModelSettings, initial_stddev: float, seed: int):
        super().__init__(num_items, settings, initial_stddev, seed)
        self.items = self.embedding_table("items")
        self.mean = HistoryMean(name="mean")
        self.dense = keras.layers.Dense(
            settings.embedding_size, kernel_initializer=self.initializer, name="dense"
        )
        self.dense.build((None, settings.embedding_size))

    @property
    def keras_layers(self) -> list[keras.layers.Layer]:
        return [self.items, self.dense]

    def query_vectors(self, history: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.dense(self.mean(self.items(history)))[:, None, :]
