"""MIND: interests by dynamic routing."""

from typing import ClassVar

import keras
import tensorflow as tf

from tfrs_timirec.config import ModelSettings
from tfrs_timirec.layers import DynamicRouting
from tfrs_timirec.models.base import SequentialRecommender
from tfrs_timirec.models.losses import label_aware_interest


class MIND(SequentialRecommender):
    """K interests, to which the history's items are routed; the best one scores.

    (Li et al., CIKM 2019: sections 4.3 and 4.4, without the users' profiles and the dense layers
    that take them in, and with TiMiRec's loss, eq. 10 of CIKM 2022, as in its authors'
    comparison.) In training the label-aware attention chooses the query vector.

    Args:
        num_items: Items of the catalogue.
        settings: The model's shape.
        initial_stddev: Standard deviation of the initial weights.
        seed: Of the initial weights and of the routing's logits.
    """

    title = "MIND"
    uses: ClassVar = ("num_interests", "label_power")

    def __init__(self, num_items: int, settings: ModelSettings, initial_stddev: float, seed: int):
        super().__init__(num_items, settings, initial_stddev, seed)
        self.label_power = settings.label_power
        self.items = self.embedding_table("items")
        self.routing = DynamicRouting(
            settings.num_interests,
            settings.history_length,
            kernel_initializer=self.initializer,
            seed=seed,
            name="routing",
        )
        self.routing.build((None, None, settings.embedding_size))

    @property
    def keras_layers(self) -> list[keras.layers.Layer]:
        return [self.items, self.routing]

    def query_vectors(self, history: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.routing(self.items(history), training=training)

    def choose_query(self, queries: tf.Tensor, positive: tf.Tensor) -> tf.Tensor:
        return label_aware_interest(queries, positive, self.label_power)
