"""GRU4Rec: the history read by a recurrent network."""

import keras
import tensorflow as tf

from tfrs_timirec.config import ModelSettings
from tfrs_timirec.models.base import SequentialRecommender


class GRU4Rec(SequentialRecommender):
    """One query vector, W · GRU(e_1 … e_n) + b.

    (Hidasi et al., ICLR 2016, section 3, with one layer of D units, a dense layer, and TiMiRec's
    loss, eq. 10 of CIKM 2022, as in its authors' comparison.)

    Args:
        num_items: Items of the catalogue.
        settings: The model's shape.
        initial_stddev: Standard deviation of the initial weights.
        seed: Of the initial weights.
    """

    title = "GRU4Rec"

    def __init__(self, num_items: int, settings: ModelSettings, initial_stddev: float, seed: int):
        super().__init__(num_items, settings, initial_stddev, seed)
        self.items = self.embedding_table("items")
        self.gru = keras.layers.GRU(
            settings.embedding_size,
            kernel_initializer=self.initializer,
            recurrent_initializer=self.initializer,
            name="gru",
        )
        self.gru.build((None, None, settings.embedding_size))
        self.dense = keras.layers.Dense(
            settings.embedding_size, kernel_initializer=self.initializer, name="dense"
        )
        self.dense.build((None, settings.embedding_size))

    @property
    def keras_layers(self) -> list[keras.layers.Layer]:
        return [self.items, self.gru, self.dense]

    def query_vectors(self, history: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.dense(self.gru(self.items(history)))[:, None, :]
