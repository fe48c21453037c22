"""The self-attentive multi-interest recommender: TiMiRec's first phase."""

from typing import ClassVar

import keras
import tensorflow as tf

from tfrs_timirec.config import ModelSettings
from tfrs_timirec.layers import SelfAttentiveExtractor
from tfrs_timirec.models.base import SequentialRecommender


class ComiRec(SequentialRecommender):
    """K interests; the one that matches the target best is trained, and the best one scores.

    (ComiRec-SA, Cen et al., KDD 2020, with TiMiRec's loss: eqs. 1, 2 and 10 of CIKM 2022.) With
    `settings.transformer` it is ComiRec+.

    Args:
        num_items: Items of the catalogue.
        settings: The model's shape.
        initial_stddev: Standard deviation of the initial weights.
        seed: Of the initial weights.
    """

    uses: ClassVar = ("num_interests", "attention_width", "transformer", "dropout")

    def __init__(self, num_items: int, settings: ModelSettings, initial_stddev: float, seed: int):
        super().__init__(num_items, settings, initial_stddev, seed)
        self.title = "ComiRec+" if settings.transformer else "ComiRec"
        self.items = self.embedding_table("items")
        self.extractor = SelfAttentiveExtractor(
            settings.num_interests,
            settings.attention_width,
            settings.transformer,
            settings.history_length,
            kernel_initializer=self.initializer,
            dropout=settings.dropout,
            name="extractor",
        )
        self.extractor.build((None, None, settings.embedding_size))

    @property
    def keras_layers(self) -> list[keras.layers.Layer]:
        return [self.items, self.extractor]

    def query_vectors(self, history: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.extractor(self.items(history), training=training)
