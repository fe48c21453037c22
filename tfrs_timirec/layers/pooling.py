"""A history's items as one vector: their mean, or the newest of them."""

import keras
from keras import ops

from tfrs_timirec.layers.position import distance_to_end, real_items


class _Pooling(keras.layers.Layer):
    """What the layers of this file share: [batch, n, D] becomes [batch, D], the mask ends here."""

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
