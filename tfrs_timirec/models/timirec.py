"""TiMiRec: target-interest distillation for multi-interest recommendation."""

from typing import ClassVar

import keras
import tensorflow as tf

from tfrs_timirec.config import ModelSettings
from tfrs_timirec.layers import InterestAggregation, InterestPredictor
from tfrs_timirec.models.base import SequentialRecommender
from tfrs_timirec.models.comirec import ComiRec
from tfrs_timirec.models.losses import distillation_loss, target_similarity


class TiMiRec(SequentialRecommender):
    """K interests, aggregated by a prediction of the one that drives the next action.

    (Wang et al., CIKM 2022.) With `settings.transformer` it is TiMiRec+. Without
    `settings.pretraining` or `settings.stop_gradient` it is an ablation of the paper's table 4.

    Args:
        num_items: Items of the catalogue.
        settings: The model's shape.
        initial_stddev: Standard deviation of the initial weights.
        seed: Of the initial weights.
    """

    uses: ClassVar = (
        *ComiRec.uses,
        "predictor_layers",
        "predictor_dropout",
        "temperature",
        "pretraining",
        "stop_gradient",
    )

    def __init__(self, num_items: int, settings: ModelSettings, initial_stddev: float, seed: int):
        super().__init__(num_items, settings, initial_stddev, seed)
        self.title = "TiMiRec+" if settings.transformer else "TiMiRec"
        if not settings.pretraining:
            self.title += ", joint training"
        if not settings.stop_gradient:
            self.title += ", without stop-gradient"
        self.pretraining = settings.pretraining
        self.stop_gradient = settings.stop_gradient
        self.temperature = settings.temperature
        self.pretrained = ComiRec(num_items, settings, initial_stddev, seed)
        self.items = self.pretrained.items
        self.predictor_items = self.embedding_table("predictor_items")
        self.predictor = InterestPredictor(
            settings.num_interests,
            settings.predictor_layers,
            settings.predictor_dropout,
            kernel_initializer=self.initializer,
            name="predictor",
        )
        self.predictor.build((None, None, settings.embedding_size))
        self.aggregation = InterestAggregation()

    @property
    def keras_layers(self) -> list[keras.layers.Layer]:
        return [*self.pretrained.keras_layers, self.predictor_items, self.predictor]

    def phases(self) -> list[SequentialRecommender]:
        return [self.pretrained, self] if self.pretraining else [self]

    def interest_logits(self, history: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The predictor's logits over the interests (eq. 3).

        Args:
            history: int32 [batch, n], item indices, oldest first, 0 after the newest.
            training: Whether dropout is active.

        Returns:
            float32 [batch, K].
        """
        return self.predictor(self.predictor_items(history), training=training)

    def interest_vectors(self, history: tf.Tensor) -> tf.Tensor:
        return self.pretrained.query_vectors(history)

    def query_vectors(self, history: tf.Tensor, training: bool = False) -> tf.Tensor:
        interests = self.pretrained.query_vectors(history, training)
        return self.aggregation(interests, self.interest_logits(history, training))[:, None, :]

    def queries_and_weights(self, history: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        interests = self.pretrained.query_vectors(history)
        logits = self.interest_logits(history)
        return self.aggregation(interests, logits)[:, None, :], tf.nn.softmax(logits)

    def compute_loss(self, inputs: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """L = L_rec + T² · L_distill (eq. 11).

        Args:
            inputs: `history` int32 [batch, n], `positive` and `negative` int32 [batch].
            training: Whether dropout is active.

        Returns:
            float32 [batch], a loss an instance.
        """
        interests = self.pretrained.query_vectors(inputs["history"], training)
        logits = self.interest_logits(inputs["history"], training)
        positive = self.items(inputs["positive"])
        query = self.aggregation(interests, logits)
        recommendation = self.objective(query, inputs["positive"], inputs["negative"], self.items)
        distillation = distillation_loss(
            target_similarity(interests, positive), logits, self.temperature, self.stop_gradient
        )
        return recommendation + self.temperature**2 * distillation
