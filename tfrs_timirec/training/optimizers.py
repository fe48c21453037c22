"""What gradients do to weights."""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf
from keras import ops

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8
Rate = Callable[[tf.Tensor], tf.Tensor]


class Adam:
    """Adam (Kingma and Ba, ICLR 2015, algorithm 1, its factors in the order of section 2).

    Args:
        weights: What it changes.
        rate: The step size, perhaps by the number of steps before.
    """

    def __init__(self, weights: Sequence[keras.Variable], rate: float | Rate):
        self._weights = weights
        self._rate = rate
        self._steps = zeros((), "adam/steps", "int64")
        self._means = [zeros(weight.shape, f"adam/mean/{weight.path}") for weight in weights]
        self._squares = [zeros(weight.shape, f"adam/square/{weight.path}") for weight in weights]

    @property
    def state(self) -> dict[str, keras.Variable]:
        """What it remembers, by name."""
        return {kept.name: kept for kept in (self._steps, *self._means, *self._squares)}

    def next_step(self) -> tuple[tf.Tensor, tf.Tensor]:
        """The step size of the next step, and its number from 1, both float32."""
        before = self._steps.value
        rate = self._rate(before) if callable(self._rate) else self._rate
        return tf.cast(rate, "float32"), tf.cast(before + 1, "float32")

    def apply(self, gradients: Sequence[tf.Tensor]) -> None:
        """Changes the weights; TensorFlow's kernel goes through their memory once.

        Args:
            gradients: One for each weight, of its shape.
        """
        rate, number = self.next_step()
        self._steps.value.assign_add(1)
        for weight, mean, square, gradient in zip(
            self._weights, self._means, self._squares, gradients, strict=True
        ):
            tf.raw_ops.ResourceApplyAdam(
                var=weight.value.handle,
                m=mean.value.handle,
                v=square.value.handle,
                beta1_power=_BETA_1**number,
                beta2_power=_BETA_2**number,
                lr=rate,
                beta1=_BETA_1,
                beta2=_BETA_2,
                epsilon=_EPSILON,
                grad=gradient,
            )


class LazyAdam:
    """Adam on the rows of a table that a step touches; the moments of others stay as they are."""

    slots = ("mean", "square")

    @staticmethod
    def width(size: int) -> int:
        """How many numbers a slot keeps for a row of `size`."""
        return size

    @staticmethod
    def update(rows, slots, gradient, rate, taken):
        """New rows and slots.

        Args:
            rows: float [n, D].
            slots: float [n, width], each.
            gradient: float [n, D].
            rate: The step size.
            taken: float, the number of steps with this one.
        """
        mean, square = slots
        mean += (gradient - mean) * (1 - _BETA_1)
        square += (gradient**2 - square) * (1 - _BETA_2)
        rate *= ops.sqrt(1 - _BETA_2**taken) / (1 - _BETA_1**taken)
        return rows - rate * mean / (ops.sqrt(square) + _EPSILON), [mean, square]


class RowwiseAdagrad:
    """Adagrad with one number a row, the sum of its gradients' mean squares.

    (Duchi et al., JMLR 2011; by rows as in Mudigere et al., ISCA 2022, section 4.1.2.)
    """

    slots = ("sum",)

    @staticmethod
    def width(size: int) -> int:
        """As for `LazyAdam`."""
        return 1

    @staticmethod
    def update(rows, slots, gradient, rate, taken):
        """As for `LazyAdam`."""
        total = slots[0] + ops.mean(gradient**2, axis=1, keepdims=True)
        return rows - rate * gradient / (ops.sqrt(total) + _EPSILON), [total]


RULES = {"lazy_adam": LazyAdam, "rowwise_adagrad": RowwiseAdagrad}


def numbers_a_row(optimizer: str, size: int) -> int:
    """How many numbers a training holds for each row of a table.

    Args:
        optimizer: As in the settings.
        size: D, the numbers of the row itself.
    """
    if optimizer not in RULES:
        # With a gradient for all of it, and both moments.
        return 4 * size
    rule = RULES[optimizer]
    # While the table is drawn, it is there twice.
    return max(2 * size, size + rule.width(size) * len(rule.slots))


def zeros(shape: Sequence[int], name: str, dtype: str = "float32") -> keras.Variable:
    """What an optimiser remembers, before the first step.

    Args:
        shape: Its shape.
        name: The same in each process, for checkpoints.
        dtype: Its type.
    """
    # Keras allows no slashes in names.
    name = name.replace("/", ".")
    return keras.Variable("zeros", shape=shape, dtype=dtype, trainable=False, name=name)
