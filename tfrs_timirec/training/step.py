"""One optimiser step, its gradients compiled."""

import keras
import numpy as np
import tensorflow as tf

from tfrs_timirec.config import TrainingSettings
from tfrs_timirec.models.base import SequentialRecommender
from tfrs_timirec.training.optimizers import RULES, Adam, zeros
from tfrs_timirec.training.precision import computing_in
from tfrs_timirec.training.workers import Workers


class TrainingStep:
    """Adam on the mean loss of a batch, with L2 weight decay in the gradient.

    Of several workers, each adds up the losses and gradients of its rows; then they add up those
    of all, so that all make the same update.

    Args:
        model: What is trained.
        settings: Learning rate, its schedule, weight decay and precision.
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
        self._decay = settings.weight_decay
        self._precision = settings.precision
        self._rows = settings.batch_size // workers.share.count
        rate = settings.learning_rate
        if settings.schedule == "cosine":
            rate = keras.optimizers.schedules.CosineDecay(
                rate, settings.max_epochs * steps_an_epoch
            )
        self._optimizer = Adam(self._weights, rate)
        self._sums_of = _compiled(self._sums)
        self._means_of_sums = _compiled(self._means)
        self._means_of = _compiled(lambda inputs: self._means(*self._sums(inputs)))
        # What changes the weights is not compiled by XLA, which would copy them.
        self._whole = _function(self._step)
        self._second_half = _function(lambda *sums: self._apply(*self._means_of_sums(*sums)))

    @property
    def _weights(self) -> list[keras.Variable]:
        """What has a gradient for all of it."""
        return [variable for variable in self._model.state.values() if variable.trainable]

    @property
    def state(self) -> dict[str, keras.Variable]:
        """The model's and the optimiser's variables by name."""
        return {**self._model.state, **self._optimizer.state}

    def __call__(self, inputs: dict[str, np.ndarray]) -> tuple[float, int]:
        """Trains on a batch: `train` of what is `prepared`."""
        return self.train(self.prepared(inputs))

    def prepared(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray | tf.Tensor]:
        """What `train` takes; it hangs on no weight, so that it can be made ahead.

        Args:
            inputs: What the loss takes, and `weight` float32, of the shape of `positive`, 0 for
                targets that only fill the batch up; of several workers, the rows of this one.
        """
        if not self._workers.alone:
            return inputs
        # A call takes longer to make tensors of its arguments.
        return {name: tf.constant(value) for name, value in inputs.items()}

    def train(self, inputs: dict[str, np.ndarray | tf.Tensor]) -> tuple[float, int]:
        """Trains on a batch.

        Args:
            inputs: What `prepared` gives.

        Returns:
            The mean loss over the targets of the whole batch, and how many these are.

        Raises:
            LostWorker: If another worker is gone.
        """
        if self._workers.alone:
            loss, targets = self._whole(inputs)
        else:
            if self._model.objective.shares_negatives:
                # Of a length that all workers' have.
                negative = np.zeros(self._rows, np.int32)
                negative[: inputs["negative"].size] = inputs["negative"].ravel()
                inputs = {**inputs, "negative": self._workers.joined(negative)}
            loss, targets = self._second_half(*self._workers.summed(self._sums_of(inputs)))
        return float(loss), int(targets)

    def _step(self, inputs):
        return self._apply(*self._means_of(inputs))

    def _apply(self, loss, targets, *gradients):
        self._optimizer.apply(gradients)
        return loss, targets

    def _sums(self, inputs):
        """Of the targets: the sum of their losses, their number, and the sum's gradients."""
        with tf.GradientTape() as tape:
            loss = self._summed_loss(inputs)
        gradients = tape.gradient(loss, [weight.value for weight in self._weights])
        targets = tf.reduce_sum(inputs["weight"])
        return loss, targets, *[tf.convert_to_tensor(gradient) for gradient in gradients]

    def _summed_loss(self, inputs):
        with computing_in(self._precision, self._model.user_tower):
            losses = self._model.compute_loss(inputs, training=True)
        return tf.reduce_sum(losses * inputs["weight"])

    def _means(self, loss, targets, *gradients):
        return (
            loss / targets,
            targets,
            *[
                gradient / targets + self._decay * weight.value
                for gradient, weight in zip(gradients, self._weights, strict=True)
            ],
        )


class SparseStep(TrainingStep):
    """Changes the rows of the item tables that a batch touches, and no others; Adam for the rest.

    A dense step reads and writes whole tables with what the optimiser remembers of them; here a
    step costs the same with any number of items. Weight decay reaches the touched rows alone.

    Args:
        As for `TrainingStep`.
    """

    def __init__(self, model, settings, steps_an_epoch, workers):
        self._tables = model.tables
        self._rule = RULES[settings.optimizer]
        self._slots = [
            zeros((table.shape[0], self._rule.width(table.shape[1])), f"{name}/{table.path}")
            for table in self._tables
            for name in self._rule.slots
        ]
        super().__init__(model, settings, steps_an_epoch, workers)
        self._changes = _compiled(self._changes)

    @property
    def _weights(self):
        tables = {table.path for table in self._tables}
        return [weight for weight in super()._weights if weight.path not in tables]

    @property
    def state(self):
        return {**super().state, **{slot.name: slot for slot in self._slots}}

    def prepared(self, inputs):
        whose = ("history", "positive", "negative")
        ids = np.concatenate([np.zeros(1, np.int32), *(inputs[name].ravel() for name in whose)])
        touched, places = np.unique(ids, return_inverse=True)
        # As many rows for each batch of a shape: one compilation. Padding is row 0 here, too.
        rows = np.zeros(len(ids), np.int32)
        rows[: len(touched)] = touched
        ends = np.cumsum([1, *(inputs[name].size for name in whose)])
        local = {
            name: places[begin:end].reshape(inputs[name].shape).astype(np.int32)
            for name, begin, end in zip(whose, ends, ends[1:], strict=False)
        }
        touched = np.int32(len(touched))
        return super().prepared({**inputs, **local, "rows": rows, "touched": touched})

    def _step(self, inputs):
        rows, touched = inputs["rows"], inputs["touched"]
        kept = [*self._tables, *self._slots]
        taken = [tf.gather(variable.value, rows) for variable in kept]
        rate, steps = self._optimizer.next_step()
        loss, targets, new, gradients = self._changes(inputs, taken, rate, steps)
        for variable, values in zip(kept, new, strict=True):
            variable.value.scatter_update(tf.IndexedSlices(values[:touched], rows[:touched]))
        self._optimizer.apply(gradients)
        return loss, targets

    def _changes(self, inputs, taken, rate, steps):
        """The loss, the touched rows and slots as they become, and the other gradients."""
        count = len(self._tables)
        tables, slots = taken[:count], taken[count:]
        targets = tf.reduce_sum(inputs["weight"])
        with tf.GradientTape() as tape:
            tape.watch(tables)
            with keras.StatelessScope() as scope:
                # The layers see the rows in the tables' place.
                for table, rows in zip(self._tables, tables, strict=True):
                    scope.add_update((table, rows))
                loss = self._summed_loss(inputs) / targets
        for name, seed in self._model.state.items():
            drawn = scope.get_current_value(seed) if name.startswith("seed_") else None
            if drawn is not None:
                seed.value.assign(drawn)
        weights = [weight.value for weight in self._weights]
        gradients = [
            tf.convert_to_tensor(gradient) + self._decay * weight
            for gradient, weight in zip(
                tape.gradient(loss, [*tables, *weights]), [*tables, *weights], strict=True
            )
        ]
        new_tables, new_slots = [], []
        each = len(self._rule.slots)
        for number, (rows, gradient) in enumerate(zip(tables, gradients, strict=False)):
            of_table = slots[number * each : (number + 1) * each]
            rows, of_table = self._rule.update(rows, of_table, gradient, rate, steps)
            new_tables.append(rows)
            new_slots += of_table
        return loss, targets, [*new_tables, *new_slots], gradients[count:]


STEPS = {"adam": TrainingStep, "lazy_adam": SparseStep, "rowwise_adagrad": SparseStep}


def _function(function):
    return tf.function(function, autograph=False)


def _compiled(function):
    return tf.function(function, jit_compile=True, autograph=False)
