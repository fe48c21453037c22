"""The block of SASRec."""

import keras

from tfrs_timirec.layers.block import Block


@keras.saving.register_keras_serializable("tfrs_timirec")
class SASRecBlock(Block):
    """Causal self-attention and a feed-forward of width D.

    q = LayerNorm(x); y = LayerNorm(q + Attention(q, x, x)); y + W_b·ReLU(W_a·y). (Kang and
    McAuley, ICDM 2018, section 3.2, normalised where its common implementations do it.)

    Arguments, call arguments and results are those of `Block`.

    Example:

        x = keras.layers.Embedding(1000, 64, mask_zero=True)(history)
        x = SASRecBlock(heads=2, dropout=0.2)(x)
    """

    def build(self, input_shape):
        width = self._width(input_shape)
        dense = keras.layers.Dense
        self.attention_norm = self._norm(input_shape, "attention_norm")
        self.attention = self._attention(input_shape)
        self.inner_norm = self._norm(input_shape, "inner_norm")
        self.inner = self._add(dense, width, "relu", shape=input_shape, name="inner")
        self.outer = self._add(dense, width, shape=input_shape, name="outer")

    def transform(self, inputs, seen, training):
        query = self.attention_norm(inputs)
        attended, attention = self.attention(
            query, inputs, attention_mask=seen, return_attention_scores=True
        )
        x = self.inner_norm(query + self.drop(attended, training=training))
        inner = self.drop(self.inner(x), training=training)
        return x + self.drop(self.outer(inner), training=training), attention
