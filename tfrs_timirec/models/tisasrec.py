"""TiSASRec: self-attention that knows the time between items."""

from typing import ClassVar

import keras
import tensorflow as tf

from tfrs_timirec.config import ModelSettings
from tfrs_timirec.layers import TimeIntervalBlock
from tfrs_timirec.models.base import SequentialRecommender


class TiSASRec(SequentialRecommender):
    """One query vector, the output of a time-aware transformer block at the newest item.

    (Li et al., WSDM 2020, as in the comparison of TiMiRec's authors: one block of one head,
    normalised after each residual connection, positions counted from the newest item, and
    TiMiRec's loss, eq. 10 of CIKM 2022.) The unit of time is the shortest interval in the history
    that is given, not in all that the user ever did.

    Args:
        num_items: Items of the catalogue.
        settings: The model's shape.
        initial_stddev: Standard deviation of the initial weights.
        seed: Of the initial weights.
    """

    title = "TiSASRec"
    uses: ClassVar = ("dropout", "max_interval")
    needs_times: ClassVar = True

    def __init__(self, num_items: int, settings: ModelSettings, initial_stddev: float, seed: int):
        super().__init__(num_items, settings, initial_stddev, seed)
        self.items = self.embedding_table("items")
        self.drop = keras.layers.Dropout(settings.dropout, name="drop")
        self.block = TimeIntervalBlock(
            settings.history_length,
            settings.max_interval,
            self.initializer,
            settings.dropout,
            name="block",
        )
        self.block.build((None, None, settings.embedding_size))

    @property
    def keras_layers(self) -> list[keras.layers.Layer]:
        return [self.items, self.drop, self.block]

    def query_vectors(
        self, history: tf.Tensor, times: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        x = self.drop(self.items(history), training=training)
        return self.block(x, times, training=training)[:, None, :]
