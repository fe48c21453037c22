"""The block of LiGR and eSASRec."""

import keras

from tfrs_timirec.layers.block import Block


@keras.saving.register_keras_serializable("tfrs_timirec")
class LiGRBlock(Block):
    """Causal self-attention and a SwiGLU feed-forward, each let through by a gate.

    x' = x + σ(G_a·x) ⊙ Attention(LayerNorm(x)); x' + σ(G_b·x') ⊙ SwiGLU(LayerNorm(x')), with
    SwiGLU(y) = W_o·(SiLU(W_g·y) ⊙ W_v·y) and an inner width of 4·D. (Borisyuk et al., "From
    Features to Transformers", 2025, section 3.1; as in eSASRec, Tikhonovich et al., RecSys 2025.)

    Arguments, call arguments and results are those of `Block`.

    Example:

        x = keras.layers.Embedding(1000, 64, mask_zero=True)(history)
        x = LiGRBlock(heads=2, dropout=0.2)(x)
    """

    def build(self, input_shape):
        width = self._width(input_shape)
        wide = (*input_shape[:-1], 4 * width)
        dense = keras.layers.Dense
        self.attention_norm = self._norm(input_shape, "attention_norm")
        self.attention = self._attention(input_shape)
        self.attention_gate = self._add(
            dense, width, "sigmoid", shape=input_shape, name="attention_gate"
        )
        self.inner_norm = self._norm(input_shape, "inner_norm")
        self.gate = self._add(
            dense, 4 * width, "silu", use_bias=False, shape=input_shape, name="gate"
        )
        self.value = self._add(dense, 4 * width, use_bias=False, shape=input_shape, name="value")
        self.outer = self._add(dense, width, use_bias=False, shape=wide, name="outer")
        self.inner_gate = self._add(dense, width, "sigmoid", shape=input_shape, name="inner_gate")

    def transform(self, inputs, seen, training):
        normed = self.attention_norm(inputs)
        attended, attention = self.attention(
            normed, normed, attention_mask=seen, return_attention_scores=True
        )
        gate = self.attention_gate(inputs)
        x = inputs + gate * self.drop(attended, training=training)
        normed = self.inner_norm(x)
        inner = self.outer(self.drop(self.gate(normed) * self.value(normed), training=training))
        return x + self.inner_gate(x) * self.drop(inner, training=training), attention
