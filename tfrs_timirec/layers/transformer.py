"""The transformer block of the "+" variants and of SASRec's kind."""

import keras
from keras import ops

from tfrs_timirec.layers.masked import masked_softmax
from tfrs_timirec.layers.pooling import NewestItem


@keras.saving.register_keras_serializable("tfrs_timirec")
class TransformerBlock(keras.layers.Layer):
    """One bidirectional, single-head, post-norm transformer block.

    x = LayerNorm(x + softmax(QKᵀ/√D)V); y = LayerNorm(x + W_b·ReLU(W_a·x)). Padding is neither
    attended to nor passed on: its outputs are zero. The feed-forward width is D. (The
    "+" variants of TiMiRec, CIKM 2022, section 4; Vaswani et al., 2017.)

    Args:
        kernel_initializer: Initializer of the five matrices.
        dropout: Share of the attention's and of the feed-forward's outputs dropped in training.
        return_attention: Whether the attention is returned as well.
        newest_only: Computes the output at a history's newest item, and no others.

    Call arguments:
        inputs: float [batch, n, D].
        mask: bool [batch, n], true where there is an item; all of them without it.
        training: Whether dropout is active.

    Returns:
        float [batch, n, D]. With `return_attention` the pair of it and the attention, float
        [batch, n, n]: row i is what position i attends to and sums to 1; 0 in the rows and columns
        of padding. The mask is that of both. With `newest_only` float [batch, D] and [batch, n],
        what `NewestItem` takes of them; zero for a history of padding alone.

    Example:

        x = keras.layers.Embedding(1000, 64, mask_zero=True)(history)
        y = TransformerBlock()(x)
        y, attention = TransformerBlock(return_attention=True)(x)
        user, attention = TransformerBlock(return_attention=True, newest_only=True)(x)
    """

    def __init__(
        self,
        kernel_initializer="glorot_uniform",
        dropout: float = 0.0,
        return_attention: bool = False,
        newest_only: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.kernel_initializer = kernel_initializer
        self.dropout = dropout
        self.return_attention = return_attention
        self.newest_only = newest_only
        self.supports_masking = True

    def build(self, input_shape):
        def dense(name, activation=None):
            layer = keras.layers.Dense(
                input_shape[-1],
                activation,
                kernel_initializer=self.kernel_initializer,
                name=name,
                dtype=self.dtype_policy,
            )
            layer.build(input_shape)
            return layer

        def norm(name):
            layer = keras.layers.LayerNormalization(
                epsilon=1e-5, name=name, dtype=self.dtype_policy
            )
            layer.build(input_shape)
            return layer

        self.query, self.key, self.value = dense("query"), dense("key"), dense("value")
        self.attention_norm = norm("attention_norm")
        self.inner, self.outer = dense("inner", "relu"), dense("outer")
        self.output_norm = norm("output_norm")
        self.drop = keras.layers.Dropout(self.dropout, name="drop", dtype=self.dtype_policy)
        self.newest = NewestItem(name="newest", dtype=self.dtype_policy)

    def call(self, inputs, mask=None, training=False):
        x, real = inputs, mask
        if self.newest_only:
            x = self.newest(inputs, mask=mask)[:, None]
            real = None if mask is None else ops.any(mask, axis=1, keepdims=True)
        scores = ops.matmul(self.query(x), ops.swapaxes(self.key(inputs), 1, 2))
        scores = scores / inputs.shape[-1] ** 0.5
        if mask is None:
            attention = ops.softmax(scores)
        else:
            attention = masked_softmax(scores, mask[:, None, :])
        attended = ops.matmul(attention, self.value(inputs))
        x = self.residuals(x, attended, training)
        if mask is not None:
            x = x * ops.cast(real, x.dtype)[..., None]
            attention = attention * ops.cast(real[:, :, None] & mask[:, None, :], attention.dtype)
        if self.newest_only:
            x, attention = x[:, 0], attention[:, 0]
        return (x, attention) if self.return_attention else x

    def residuals(self, inputs, attended, training=False):
        """What follows the attention: both residual connections and the feed-forward.

        Args:
            inputs: float [..., D], the block's.
            attended: float [..., D], the attention's outputs.
            training: Whether dropout is active.

        Returns:
            float [..., D].
        """
        x = self.attention_norm(inputs + self.drop(attended, training=training))
        inner = self.outer(self.inner(x))
        return self.output_norm(x + self.drop(inner, training=training))

    def compute_mask(self, inputs, mask=None):
        if self.newest_only:
            mask = None
        return (mask, mask) if self.return_attention else mask

    def compute_output_shape(self, input_shape):
        output, attention = input_shape, (*input_shape[:-1], input_shape[1])
        if self.newest_only:
            output, attention = (input_shape[0], input_shape[-1]), input_shape[:-1]
        return (output, attention) if self.return_attention else output

    def get_config(self):
        return {
            **super().get_config(),
            "dropout": self.dropout,
            "return_attention": self.return_attention,
            "newest_only": self.newest_only,
            "kernel_initializer": keras.initializers.serialize(
                keras.initializers.get(self.kernel_initializer)
            ),
        }
