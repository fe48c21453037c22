"""The self-attentive multi-interest recommender: TiMiRec's first phase."""

import keras
import tensorflow as tf

from tfrs_timirec.config import ModelSettings
from tfrs_timirec.layers import SelfAttentiveExtractor
from tfrs_timirec.models.base import SequentialRecommender
from tfrs_timirec.models.losses import best_interest, bpr_loss


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

    def __init__(self, num_items: int, settings: ModelSettings, initial_stddev: float, seed: int):
        super().__init__(num_items, settings.embedding_size, initial_stddev, seed)
        self.items = self.embedding_table("items")
        self.extractor = SelfAttentiveExtractor(
            settings.num_interests,
            settings.attention_width,
            settings.transformer,
            settings.history_length,
            kernel_initializer=self.initializer,
            name="extractor",
        )
        self.extractor.build((None, None, settings.embedding_size))

    @property
    def keras_layers(self) -> list[keras.layers.Layer]:
        return [self.items, self.extractor]

    def query_vectors(self, history: tf.Tensor) -> tf.Tensor:
        return self.extractor(self.items(history))

    def compute_loss(self, inputs: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """L_rec with the best-matching interest.

        Args:
            inputs: `history` int32 [batch, n], `positive` and `negative` int32 [batch].
            training: Whether dropout is active.

        Returns:
            float32 [batch], a loss an instance.
        """
        interests = self.query_vectors(inputs["history"])
        positive = self.items(inputs["positive"])
        query = best_interest(interests, positive)
        return bpr_loss(query, positive, self.items(inputs["negative"]))
