"""The self-attentive multi-interest extractor."""

import keras
from keras import ops

from tfrs_timirec.layers.masked import masked_softmax
from tfrs_timirec.layers.position import DistanceToEndEmbedding
from tfrs_timirec.layers.transformer import TransformerBlock


@keras.saving.register_keras_serializable("tfrs_timirec")
class SelfAttentiveExtractor(keras.layers.Layer):
    """K interest vectors from a history, by K attention heads over its items.

    A = softmax over positions of W2·tanh(W1·H), V = AᵀH. (TiMiRec, CIKM 2022, eqs. 1, 12, 13;
    ComiRec-SA, KDD 2020.) Padding takes no attention; a history of padding alone has zero vectors.

    Args:
        num_interests: K.
        attention_width: Rows of W1.
        transformer: Puts `DistanceToEndEmbedding` and one `TransformerBlock` before the
            attention: the extractor of ComiRec+ and TiMiRec+.
        max_length: L, the longest history; used with `transformer` or `positions`.
        kernel_initializer: Initializer of all matrices.
        dropout: Share of the embeddings and of the block's activations dropped in training.
        return_attention: Whether A is returned as well.
        positions: Puts `DistanceToEndEmbedding` before the attention without a `transformer`, too.

    Call arguments:
        inputs: float [batch, n, D], the embeddings of the items.
        mask: bool [batch, n], true at items; `Embedding(mask_zero=True)` passes it on.
        training: Whether dropout is active.

    Returns:
        float [batch, K, D], the interests. With `return_attention` the pair of them and A, float
        [batch, n, K]: what each position contributes to each interest, summing to 1 over the
        positions; 0 at padding. (After a `transformer` a position holds more than its own item.)

    Raises:
        ValueError: If K or the attention width is less than 1.

    Example:

        items = keras.layers.Embedding(1000, 64, mask_zero=True)(history)
        interests = SelfAttentiveExtractor(num_interests=4)(items)
        interests, attention = SelfAttentiveExtractor(4, return_attention=True)(items)
    """

    def __init__(
        self,
        num_interests: int,
        attention_width: int = 8,
        transformer: bool = False,
        max_length: int = 20,
        kernel_initializer="glorot_uniform",
        dropout: float = 0.0,
        return_attention: bool = False,
        positions: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if num_interests < 1:
            raise ValueError(f"num_interests must be at least 1, got {num_interests}.")
        if attention_width < 1:
            raise ValueError(f"attention_width must be at least 1, got {attention_width}.")
        self.num_interests = num_interests
        self.attention_width = attention_width
        self.transformer = transformer
        self.max_length = max_length
        self.kernel_initializer = kernel_initializer
        self.dropout = dropout
        self.return_attention = return_attention
        self.positions = positions or transformer

        if self.positions:
            self.position = DistanceToEndEmbedding(
                max_length, self.kernel_initializer, name="position", dtype=self.dtype_policy
            )
        if transformer:
            self.block = TransformerBlock(
                self.kernel_initializer, dropout, name="block", dtype=self.dtype_policy
            )
        self.drop = keras.layers.Dropout(dropout, name="drop", dtype=self.dtype_policy)
        self.inner = keras.layers.Dense(
            attention_width,
            "tanh",
            kernel_initializer=self.kernel_initializer,
            name="inner",
            dtype=self.dtype_policy,
        )
        self.heads = keras.layers.Dense(
            num_interests,
            kernel_initializer=self.kernel_initializer,
            name="heads",
            dtype=self.dtype_policy,
        )

    def build(self, input_shape):
        if self.positions:
            self.position.build(input_shape)
        if self.transformer:
            self.block.build(input_shape)
        self.inner.build(input_shape)
        self.heads.build((*input_shape[:-1], self.attention_width))

    def call(self, inputs, mask=None, training=False):
        x = self.position(inputs, mask=mask) if self.positions else inputs
        x = self.drop(x, training=training)
        if self.transformer:
            x = self.block(x, mask=mask, training=training)
        scores = self.heads(self.inner(x))
        if mask is None:
            attention = ops.softmax(scores, axis=1)
        else:
            real = mask[..., None]
            attention = masked_softmax(scores, real, axis=1)
            attention = attention * ops.cast(real, attention.dtype)
        interests = ops.matmul(ops.swapaxes(attention, 1, 2), x)
        return (interests, attention) if self.return_attention else interests

    def of_prefixes(self, inputs, training=False):
        """The interests after each item of a history, in one pass.

        Args:
            inputs: float [batch, n, D], the embeddings of the items, padding on the right.
            training: Whether dropout is active; here it drops nothing of the positions.

        Returns:
            float [batch, n, K, D]: at t what the layer gives for the items up to t.

        Raises:
            ValueError: With `transformer`, where an item's vector depends on later items.
        """
        if self.transformer:
            raise ValueError("With a transformer each history has to be computed by itself.")
        x = self.drop(inputs, training=training)
        n = inputs.shape[1]
        # W1 and its bias by themselves, for x may be of a lower precision than they are.
        kernel, bias = (ops.cast(w, x.dtype) for w in (self.inner.kernel, self.inner.bias))
        inner = ops.matmul(x, kernel)[:, None] + bias
        if self.positions:
            # An item's distance to the end, and so what is added to it, is another in each prefix.
            added = self.position.of_prefixes(n)
            inner += ops.matmul(added, kernel)[None]
        scores = self.heads(self.inner.activation(inner))
        seen = ops.reshape(ops.tril(ops.ones((n, n), dtype="bool")), (1, n, n, 1))
        attention = masked_softmax(scores, seen, axis=2)
        interests = ops.einsum("btjk,bjd->btkd", attention, x)
        if self.positions:
            interests += ops.einsum("btjk,tjd->btkd", attention, added)
        return interests

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        interests = (input_shape[0], self.num_interests, input_shape[-1])
        attention = (*input_shape[:-1], self.num_interests)
        return (interests, attention) if self.return_attention else interests

    def get_config(self):
        return {
            **super().get_config(),
            "num_interests": self.num_interests,
            "attention_width": self.attention_width,
            "transformer": self.transformer,
            "max_length": self.max_length,
            "dropout": self.dropout,
            "return_attention": self.return_attention,
            "positions": self.positions,
            "kernel_initializer": keras.initializers.serialize(
                keras.initializers.get(self.kernel_initializer)
            ),
        }
