"""One optimiser step, compiled."""

import keras
import numpy as np
import tensorflow as tf

from tfrs_timirec.config import TrainingSettings
from tfrs_timirec.models.base import SequentialRecommender


class TrainingStep:
    """Adam on the mean loss of a batch, L2 weight decay in the gradient, under XLA.

    Args:
        model: What is trained.
        settings: Learning rate, its schedule and weight decay.
        steps_an_epoch: Steps of an epoch.
    """

    def __init__(
        self, model: SequentialRecommender, settings: TrainingSettings, steps_an_epoch: int
    ):
        self._model = model
        self._weights = [variable for variable in model.state.values() if variable.trainable]
        self._decay = settings.weight_decay
        rate = settings.learning_rate
        if settings.schedule == "cosine":
            rate = keras.optimizers.schedules.CosineDecay(
                rate, settings.max_epochs * steps_an_epoch
            )
        # Named, for Keras would number the optimisers of a process, and with them the variables.
        self._optimizer = keras.optimizers.Adam(rate, epsilon=1e-8, name="adam")
        self._optimizer.build(self._weights)
        self._compiled = tf.function(self._step, jit_compile=True, autograph=False)

    @property
    def state(self) -> dict[str, keras.Variable]:
        """The model's and the optimiser's variables by name."""
        optimizer = {variable.path: variable for variable in self._optimizer.variables}
        return {**self._model.state, **optimizer}

    def __call__(self, inputs: dict[str, np.ndarray]) -> float:
        """Trains on a batch.

        Args:
            inputs: What the tower takes, `positive` and `negative` int32 [batch], and `weight`
                float32 [batch], 0 for rows that only fill the batch up.

        Returns:
            The mean loss over the instances of the batch.
        """
        return float(self._compiled(inputs))

    def _step(self, inputs):
        with tf.GradientTape() as tape:
            losses = self._model.compute_loss(inputs, training=True)
            weight = inputs["weight"]
            loss = tf.reduce_sum(losses * weight) / tf.reduce_sum(weight)
        gradients = tape.gradient(loss, [weight.value for weight in self._weights])
        self._optimizer.apply_gradients(
            (tf.convert_to_tensor(gradient) + self._decay * weight.value, weight)
            for gradient, weight in zip(gradients, self._weights, strict=True)
        )
        return loss
