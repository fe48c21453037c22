"""The aggregation of interests into one query vector."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("tfrs_timirec")
class InterestAggregation(keras.layers.Layer):
    """v = Σ_k softmax(z)_k · V_k, in training and in serving alike (TiMiRec, CIKM 2022, eq. 4).

    Call arguments:
        interests: float [batch, K, D].
        logits: float [batch, K].

    Returns:
        float [batch, D].

    Example:

        query = InterestAggregation()(interests, logits)
    """

    def call(self, interests, logits):
        return ops.sum(ops.softmax(logits)[..., None] * interests, axis=1)

    def compute_output_shape(self, interests_shape, logits_shape):
        return (interests_shape[0], interests_shape[-1])
