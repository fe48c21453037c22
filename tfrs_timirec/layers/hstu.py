"""The block of HSTU."""

import keras
from keras import ops

from tfrs_timirec.layers.block import Block
from tfrs_timirec.layers.position import check_length


@keras.saving.register_keras_serializable("tfrs_timirec")
class HSTUBlock(Block):
    """A hierarchical sequential transduction unit.

    U, V, Q, K = SiLU(W·LayerNorm(x)); A = SiLU(QKᵀ + b) / L, causal, with b learned for each
    distance; x + W_o·(LayerNorm(AV) ⊙ U). (Zhai et al., ICML 2024, eqs. 1 to 3, with positions
    alone in the relative bias.) The attention is no softmax; the shares that are returned are
    |A| divided by their sum.

    Args:
        max_length: L, the longest history.
        heads: Of the attention; they divide D.
        kernel_initializer: Initializer of all matrices and of the bias.
        dropout: Share of U ⊙ LayerNorm(AV) dropped in training.
        return_attention: Whether the shares are returned as well.

    Call arguments and results are those of `Block`.

    Raises:
        ValueError: If L or the heads are below 1, the heads do not divide D, or n is larger than L.

    Example:

        x = keras.layers.Embedding(1000, 64, mask_zero=True)(history)
        x = HSTUBlock(max_length=50, heads=2, dropout=0.2)(x)
    """

    def __init__(
        self,
        max_length: int,
        heads: int = 1,
        kernel_initializer="glorot_uniform",
        dropout: float = 0.0,
        return_attention: bool = False,
        **kwargs,
    ):
        super().__init__(heads, kernel_initializer, dropout, return_attention, **kwargs)
        if max_length < 1:
            raise ValueError(f"max_length must be at least 1, got {max_length}.")
        self.max_length = max_length

    def build(self, input_shape):
        width = self._width(input_shape)
        dense = keras.layers.Dense
        # Neither norm has weights of its own, as in the authors' code.
        free = {"center": False, "scale": False, "epsilon": 1e-6}
        norm = keras.layers.LayerNormalization
        self.input_norm = self._add(norm, **free, shape=input_shape, name="input_norm")
        self.inner = self._add(
            dense, 4 * width, "silu", use_bias=False, shape=input_shape, name="inner"
        )
        self.output_norm = self._add(norm, **free, shape=input_shape, name="output_norm")
        self.outer = self._add(dense, width, shape=input_shape, name="outer")
        self.bias = self.add_weight(
            shape=(self.max_length,), initializer=self.kernel_initializer, name="bias"
        )

    def transform(self, inputs, seen, training):
        check_length(inputs, self.max_length)
        gate, *parts = ops.split(self.inner(self.input_norm(inputs)), 4, axis=-1)
        n, width = ops.shape(inputs)[1], inputs.shape[-1]
        value, query, key = (
            ops.reshape(part, (-1, n, self.heads, width // self.heads)) for part in parts
        )
        places = ops.arange(n)
        distance = ops.maximum(places[:, None] - places, 0)
        # A product, for the gradient of a lookup adds its rows up one after the other.
        chosen = ops.one_hot(distance, self.max_length, dtype=inputs.dtype)
        scores = ops.einsum("bihd,bjhd->bhij", query, key) + ops.matmul(chosen, self.bias)
        weights = ops.silu(scores) / self.max_length * ops.cast(seen[:, None], scores.dtype)
        attended = ops.reshape(ops.einsum("bhij,bjhd->bihd", weights, value), (-1, n, width))
        x = self.drop(gate * self.output_norm(attended), training=training)
        size = ops.abs(weights)
        shares = ops.divide_no_nan(size, ops.sum(size, axis=-1, keepdims=True))
        return inputs + self.outer(x), shares

    def get_config(self):
        return {**super().get_config(), "max_length": self.max_length}
