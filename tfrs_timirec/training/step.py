"""One optimiser step, compiled."""

import keras
import numpy as np
import tensorflow as tf

from tfrs_timirec.config import TrainingSettings
from tfrs_timirec.models.base import SequentialRecommender
from tfrs_timirec.training.workers import Workers


class TrainingStep:
    """Adam on the mean loss of a batch, L2 weight decay in the gradient, under XLA.

    Of several workers, each adds up the losses and gradients of its rows; between two compiled
    halves of the step they add up those of all, so that all make the same update.

    Args:
        model: What is trained.
        settings: Learning rate, its schedule and weight decay.
        steps_an_epoch: Steps of an epoch.
        workers: Who has the rest of the batch.
    """

    def __init__(
        self,
        model: SequentialRecommender,
        settings: TrainingSettings,
        steps_an_epoch: int,
        workers: Workers,
    ):
        self._model = model
        self._workers = workers
        self._weights = [variable for variable in model.state.values() if variable.trainable]
        self._decay = settings.weight_decay
        self._rows = settings.batch_size // workers.share.count
        rate = settings.learning_rate
        if settings.schedule == "cosine":
            rate = keras.optimizers.schedules.CosineDecay(
                rate, settings.max_epochs * steps_an_epoch
            )
        # Named, for Keras would number the optimisers of a process, and with them the variables.
        self._optimizer = keras.optimizers.Adam(rate, epsilon=1e-8, name="adam")
        self._optimizer.build(self._weights)
        self._whole = _compiled(lambda inputs: self._update(*self._sums(inputs)))
        self._first_half = _compiled(self._sums)
        self._second_half = _compiled(self._update)

    @property
    def state(self) -> dict[str, keras.Variable]:
        """The model's and the optimiser's variables by name."""
        optimizer = {variable.path: variable for variable in self._optimizer.variables}
        return {**self._model.state, **optimizer}

    def __call__(self, inputs: dict[str, np.ndarray]) -> tuple[float, int]:
        """Trains on a batch.

        Args:
            inputs: What the loss takes, and `weight` float32, of the shape of `positive`, 0 for
                targets that only fill the batch up; of several workers, the rows of this one.

        Returns:
            The mean loss over the targets of the whole batch, and how many these are.

        Raises:
            UserError: If another worker is gone.
        """
        if self._workers.alone:
            loss, targets = self._whole(inputs)
        else:
            if self._model.objective.shares_negatives:
                # Of a length that all workers' have.
                negative = np.zeros(self._rows, np.int32)
                negative[: inputs["negative"].size] = inputs["negative"].ravel()
                inputs = {**inputs, "negative": self._workers.joined(negative)}
            loss, targets = self._second_half(*self._workers.summed(self._first_half(inputs)))
        return float(loss), int(targets)

    def _sums(self, inputs):
        """Of the targets: their number, the sum of their losses, and its gradients."""
        with tf.GradientTape() as tape:
            losses = self._model.compute_loss(inputs, training=True)
            loss = tf.reduce_sum(losses * inputs["weight"])
        gradients = tape.gradient(loss, [weight.value for weight in self._weights])
        targets = tf.reduce_sum(inputs["weight"])
        return targets, loss, *[tf.convert_to_tensor(gradient) for gradient in gradients]

    def _update(self, targets, loss, *gradients):
        self._optimizer.apply_gradients(
            (gradient / targets + self._decay * weight.value, weight)
            for gradient, weight in zip(gradients, self._weights, strict=True)
        )
        return loss / targets, targets


def _compiled(function):
    return tf.function(function, jit_compile=True, autograph=False)
