"""A history's items as one vector, the mean or the newest of them, and their shares in a state."""

import keras
from keras import ops

from tfrs_timirec.layers.position import distance_to_end, real_items


class _Pooling(keras.layers.Layer):
    """What the mean and the newest share: [batch, n, D] becomes [batch, D], the mask ends here."""

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])


@keras.saving.register_keras_serializable("tfrs_timirec")
class HistoryMean(_Pooling):
    """The mean of a history's items, zero for a history of padding alone.

    (The user's watch history in YouTube DNN: Covington et al., RecSys 2016, section 3.1.)

    Call arguments:
        inputs: float [batch, n, D].
        mask: bool [batch, n], true at items; `Embedding(mask_zero=True)` passes it on.

    Returns:
        float [batch, D].

    Example:

        items = keras.layers.Embedding(1000, 64, mask_zero=True)(history)
        user = keras.layers.Dense(64)(HistoryMean()(items))
    """

    def call(self, inputs, mask=None):
        real = ops.cast(real_items(inputs, mask), inputs.dtype)[..., None]
        return ops.sum(inputs * real, axis=1) / ops.maximum(ops.sum(real, axis=1), 1)


@keras.saving.register_keras_serializable("tfrs_timirec")
class NewestItem(_Pooling):
    """The vector at a history's newest item, zero for a history of padding alone.

    Call arguments:
        inputs: float [batch, n, D].
        mask: bool [batch, n], true at items; `Embedding(mask_zero=True)` passes it on.

    Returns:
        float [batch, D].

    Example:

        items = keras.layers.Embedding(1000, 64, mask_zero=True)(history)
        user = NewestItem()(TransformerBlock()(items))
    """

    def call(self, inputs, mask=None):
        newest = ops.equal(distance_to_end(real_items(inputs, mask)), 1)
        return ops.sum(inputs * ops.cast(newest, inputs.dtype)[..., None], axis=1)


@keras.saving.register_keras_serializable("tfrs_timirec")
class StateChange(keras.layers.Layer):
    """How far each item of a history moved the state of a recurrent network, as a share of all.

    c_t = ‖h_t − h_{t−1}‖ / Σ_s ‖h_s − h_{s−1}‖ with h_0 = 0, on whichever side the padding is. A
    state that never moves has equal shares.

    Call arguments:
        inputs: float [batch, n, D], the states after each item.
        mask: bool [batch, n], true at items; a GRU with `return_sequences` passes it on.

    Returns:
        float [batch, n], at least 0, summing to 1 over a history's items; 0 at padding.

    Example:

        items = keras.layers.Embedding(1000, 64, mask_zero=True)(history)
        states, user = keras.layers.GRU(64, return_sequences=True, return_state=True)(items)
        shares = StateChange()(states)
    """

    def call(self, inputs, mask=None):
        real = ops.cast(real_items(inputs, mask), inputs.dtype)
        # Zero at padding, so that h_0 is zero to the right of padding as well.
        states = inputs * real[..., None]
        before = ops.pad(states[:, :-1], ((0, 0), (1, 0), (0, 0)))
        squared = ops.sum((states - before) ** 2, axis=-1)
        # The constant, a float's rounding, keeps the gradient of a state at rest finite.
        moved = ops.sqrt(ops.maximum(squared, 1e-12)) * real
        return ops.divide_no_nan(moved, ops.sum(moved, axis=1, keepdims=True))

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return input_shape[:-1]
