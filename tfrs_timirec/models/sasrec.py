"""SASRec: self-attention, read at the newest item."""

from typing import ClassVar

import keras
import tensorflow as tf

from tfrs_timirec.config import ModelSettings
from tfrs_timirec.layers import DistanceToEndEmbedding, NewestItem, TransformerBlock
from tfrs_timirec.models.base import SequentialRecommender


class SASRec(SequentialRecommender):
    """One query vector, the output of a transformer block at the newest item.

    (Kang and McAuley, ICDM 2018, as in the comparison of TiMiRec's authors: one block of one head,
    normalised after each residual connection, positions counted from the newest item, and
    TiMiRec's loss, eq. 10 of CIKM 2022.) Nothing comes after the newest item, and no second block
    reads the other outputs, so that the causal mask would change nothing: there is none.

    Args:
        num_items: Items of the catalogue.
        settings: The model's shape.
        initial_stddev: Standard deviation of the initial weights.
        seed: Of the initial weights.
    """

    title = "SASRec"
    uses: ClassVar = ("dropout",)

    def __init__(self, num_items: int, settings: ModelSettings, initial_stddev: float, seed: int):
        super().__init__(num_items, settings, initial_stddev, seed)
        shape = (None, None, settings.embedding_size)
        self.items = self.embedding_table("items")
        self.position = DistanceToEndEmbedding(
            settings.history_length, self.initializer, name="position"
        )
        self.position.build(shape)
        self.block = TransformerBlock(self.initializer, settings.dropout, name="block")
        self.block.build(shape)
        self.newest = NewestItem(name="newest")
        self.drop = keras.layers.Dropout(settings.dropout, name="drop")

    @property
    def keras_layers(self) -> list[keras.layers.Layer]:
        return [self.items, self.position, self.drop, self.block]

    def query_vectors(self, history: tf.Tensor, training: bool = False) -> tf.Tensor:
        x = self.drop(self.position(self.items(history)), training=training)
        x = self.block(x, training=training)
        return self.newest(x)[:, None, :]
