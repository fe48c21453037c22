"""Self-attention that knows how much time lies between items."""

import keras
from keras import ops

from tfrs_timirec.layers.masked import masked_softmax
from tfrs_timirec.layers.position import check_length, distance_to_end, real_items
from tfrs_timirec.layers.transformer import TransformerBlock


@keras.saving.register_keras_serializable("tfrs_timirec")
class TimeIntervalBlock(TransformerBlock):
    """A transformer block with time intervals and positions, at a history's newest item alone.

    With the newest item as i, and j over all items: a_ij = softmax over j of q_i · (k_j + r^k_ij +
    p^k_j) / √D; the attention's output is Σ_j a_ij (v_j + r^v_ij + p^v_j); the residual connections
    and the feed-forward are those of `TransformerBlock`. p embeds j's distance to the end of the
    history. r embeds the time between i and j, in whole multiples of the shortest interval (other
    than 0) between two items of the history, at most `max_interval`. (TiSASRec, Li et al., WSDM
    2020, sections 3.3 to 3.5.)

    Outputs elsewhere would serve a second block only; here nothing comes after the newest item, so
    that no causal mask is needed. A history of padding alone has a zero vector.

    Args:
        max_length: L, the longest history; the tables of positions have L + 1 rows.
        max_interval: The largest interval; the tables of intervals have one row more.
        kernel_initializer: Initializer of the matrices and of the four tables.
        dropout: Share of the attention's and of the feed-forward's outputs dropped in training.
        return_attention: Whether the attention is returned as well.

    Call arguments:
        inputs: float [batch, n, D], the embeddings of the items; n <= L.
        times: int [batch, n], in any unit; whatever stands at padding.
        inputs_mask: bool [batch, n], true at items; `Embedding(mask_zero=True)` passes it on.
        training: Whether dropout is active.

    Returns:
        float [batch, D]. With `return_attention` the pair of it and a_ij of the newest item i,
        float [batch, n]: it sums to 1; 0 at padding.

    Raises:
        ValueError: If L or the largest interval is less than 1, or n is larger than L.

    Example:

        items = keras.layers.Embedding(1000, 64, mask_zero=True)(history)
        user = TimeIntervalBlock(max_length=20)(items, times)
        user, attention = TimeIntervalBlock(max_length=20, return_attention=True)(items, times)
    """

    def __init__(
        self,
        max_length: int,
        max_interval: int = 512,
        kernel_initializer="glorot_uniform",
        dropout: float = 0.0,
        return_attention: bool = False,
        **kwargs,
    ):
        super().__init__(kernel_initializer, dropout, return_attention, newest_only=True, **kwargs)
        for name, value in (("max_length", max_length), ("max_interval", max_interval)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}.")
        self.max_length = max_length
        self.max_interval = max_interval

    def build(self, inputs_shape, times_shape=None):
        super().build(inputs_shape)

        def table(name, rows):
            return self.add_weight(
                shape=(rows, inputs_shape[-1]),
                initializer=keras.initializers.get(self.kernel_initializer),
                name=name,
            )

        self.position_keys = table("position_keys", self.max_length + 1)
        self.position_values = table("position_values", self.max_length + 1)
        self.interval_keys = table("interval_keys", self.max_interval + 1)
        self.interval_values = table("interval_values", self.max_interval + 1)

    def call(self, inputs, times, inputs_mask=None, training=False):
        check_length(inputs, self.max_length)
        mask = real_items(inputs, inputs_mask)
        distance = distance_to_end(mask)
        newest = ops.equal(distance, 1)
        intervals = self.intervals(times, mask, newest)

        def with_both(vectors, positions, of_intervals):
            return (
                vectors
                + ops.take(positions, distance, axis=0)
                + ops.take(of_intervals, intervals, axis=0)
            )

        keys = with_both(self.key(inputs), self.position_keys, self.interval_keys)
        values = with_both(self.value(inputs), self.position_values, self.interval_values)
        x = self.newest(inputs, mask=mask)
        scores = ops.sum(self.query(x)[:, None, :] * keys, axis=-1) / inputs.shape[-1] ** 0.5
        attention = masked_softmax(scores, mask)
        attended = ops.sum(attention[..., None] * values, axis=1)
        x = self.residuals(x, attended, training)
        x = x * ops.cast(ops.any(mask, axis=1, keepdims=True), x.dtype)
        if not self.return_attention:
            return x
        return x, attention * ops.cast(mask, attention.dtype)

    def intervals(self, times, mask, newest):
        """The time between each item and the newest: int32 [batch, n], 0 to `max_interval`."""
        apart = ops.abs(times[:, :, None] - times[:, None, :])
        counts = mask[:, :, None] & mask[:, None, :] & (apart > 0)
        # Without any interval but 0 the unit does not matter.
        longest = ops.max(apart, axis=(1, 2), keepdims=True)
        shortest = ops.min(ops.where(counts, apart, longest), axis=(1, 2))
        shortest = ops.maximum(shortest, 1)[:, None]
        newest_time = ops.sum(ops.where(newest, times, 0), axis=1, keepdims=True)
        intervals = ops.abs(newest_time - times) // shortest
        return ops.cast(ops.minimum(intervals, self.max_interval), "int32")

    def compute_output_shape(self, inputs_shape, times_shape=None):
        return super().compute_output_shape(inputs_shape)

    def get_config(self):
        config = super().get_config()
        del config["newest_only"]
        return {
            **config,
            "max_length": self.max_length,
            "max_interval": self.max_interval,
        }
