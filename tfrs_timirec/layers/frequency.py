"""The block of BSARec."""

import keras
import numpy as np
from keras import ops

from tfrs_timirec.layers.block import Block
from tfrs_timirec.layers.position import check_length


@keras.saving.register_keras_serializable("tfrs_timirec")
class FrequencyBlock(Block):
    """Causal self-attention beside a filter of the history's frequencies.

    h = α · LayerNorm(x + F) + (1 − α) · LayerNorm(x + Attention(x)), F = low(x) + β²·(x − low(x)),
    and LayerNorm(h + W_b·GELU(W_a·h)) of an inner width of 4·D. low keeps the `lowest` frequencies
    of the Fourier transform over L positions, the history's and zeros; β has D numbers. (BSARec,
    Shin et al., AAAI 2024, eqs. 5 to 10.) The filter sees later items: a history has to be
    computed by itself, not as the beginning of a longer one.

    A filter of frequencies is a product with a matrix that depends on distances alone, around the
    end of the L positions, so that it does not matter on which side the zeros are.

    Args:
        max_length: L, the longest history.
        lowest: Frequencies kept beside the constant one; half as many as the authors' c.
        share: α.
        heads: Of the attention; they divide D.
        kernel_initializer: Initializer of all matrices.
        dropout: Share of the outputs of filter, attention and feed-forward dropped in training.
        return_attention: Whether the attention is returned as well.

    Call arguments and results are those of `Block`.

    Raises:
        ValueError: If L or the heads are below 1, the heads do not divide D, or n is larger than L.

    Example:

        x = keras.layers.Embedding(1000, 64, mask_zero=True)(history)
        x = FrequencyBlock(max_length=50, lowest=2, share=0.7, dropout=0.5)(x)
    """

    def __init__(
        self,
        max_length: int,
        lowest: int = 2,
        share: float = 0.7,
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
        self.lowest = lowest
        self.share = share

    def build(self, input_shape):
        width = self._width(input_shape)
        dense = keras.layers.Dense
        self.beta = self.add_weight(
            shape=(width,), initializer=keras.initializers.RandomNormal(stddev=1.0), name="beta"
        )
        self.filter_norm = self._norm(input_shape, "filter_norm")
        self.attention = self._attention(input_shape)
        self.attention_norm = self._norm(input_shape, "attention_norm")
        self.inner = self._add(dense, 4 * width, "gelu", shape=input_shape, name="inner")
        wide = (*input_shape[:-1], 4 * width)
        self.outer = self._add(dense, width, shape=wide, name="outer")
        self.output_norm = self._norm(input_shape, "output_norm")

    def transform(self, inputs, seen, training):
        check_length(inputs, self.max_length)
        n = inputs.shape[1] or ops.shape(inputs)[1]
        kept = np.fft.rfft(np.eye(self.max_length), axis=0)
        kept[self.lowest + 1 :] = 0
        low_pass = np.fft.irfft(kept, self.max_length, axis=0)
        low_pass = ops.cast(ops.convert_to_tensor(low_pass), inputs.dtype)[:n, :n]
        low = ops.einsum("ij,bjd->bid", low_pass, inputs)
        filtered = low + self.beta**2 * (inputs - low)
        filtered = self.filter_norm(inputs + self.drop(filtered, training=training))
        attended, attention = self.attention(
            inputs, inputs, attention_mask=seen, return_attention_scores=True
        )
        attended = self.attention_norm(inputs + self.drop(attended, training=training))
        x = self.share * filtered + (1 - self.share) * attended
        inner = self.drop(self.outer(self.inner(x)), training=training)
        return self.output_norm(x + inner), attention

    def get_config(self):
        config = {"max_length": self.max_length, "lowest": self.lowest, "share": self.share}
        return {**super().get_config(), **config}
