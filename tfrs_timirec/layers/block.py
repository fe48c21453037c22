"""What the blocks that are put one on the other share."""

import keras
from keras import ops

from tfrs_timirec.layers.position import real_items


class Block(keras.layers.Layer):
    """A block over a history, in which no item attends to a later one.

    Padding is neither attended to nor passed on: its outputs are zero. A subclass writes `build`,
    with `_add`, and `transform`.

    Args:
        heads: Of the attention; they divide D.
        kernel_initializer: Initializer of all matrices.
        dropout: Share of the outputs of attention and feed-forward dropped in training.
        return_attention: Whether the attention is returned as well.

    Call arguments:
        inputs: float [batch, n, D].
        mask: bool [batch, n], true where there is an item; all of them without it.
        training: Whether dropout is active.

    Returns:
        float [batch, n, D]. With `return_attention` the pair of it and the attention, float
        [batch, n, n], the mean of the heads: row i is the share that each position has in i, at
        least 0 and summing to 1; 0 in the rows and columns of padding. The mask is that of both.

    Raises:
        ValueError: If there are no heads, or they do not divide D.
    """

    def __init__(
        self,
        heads: int = 1,
        kernel_initializer="glorot_uniform",
        dropout: float = 0.0,
        return_attention: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if heads < 1:
            raise ValueError(f"heads must be at least 1, got {heads}.")
        self.heads = heads
        self.kernel_initializer = kernel_initializer
        self.dropout = dropout
        self.return_attention = return_attention
        self.supports_masking = True
        self.drop = keras.layers.Dropout(dropout, name="drop", dtype=self.dtype_policy)

    def _width(self, input_shape) -> int:
        """D, which the heads divide."""
        width = input_shape[-1]
        if width % self.heads:
            raise ValueError(f"heads must divide the width {width}, got {self.heads}.")
        return width

    def _add(self, layer: type[keras.layers.Layer], *args, shape, name: str, **kwargs):
        """A built layer of the block's."""
        if layer is keras.layers.Dense:
            kwargs["kernel_initializer"] = self.kernel_initializer
        added = layer(*args, name=name, dtype=self.dtype_policy, **kwargs)
        added.build(shape)
        return added

    def _norm(self, input_shape, name: str):
        return self._add(
            keras.layers.LayerNormalization, epsilon=1e-5, shape=input_shape, name=name
        )

    def _attention(self, input_shape):
        """Scaled dot-product attention of as many heads."""
        attention = keras.layers.MultiHeadAttention(
            self.heads,
            self._width(input_shape) // self.heads,
            kernel_initializer=self.kernel_initializer,
            name="attention",
            dtype=self.dtype_policy,
        )
        attention.build(input_shape, input_shape)
        return attention

    def transform(self, inputs, seen, training):
        """What the block makes of its inputs.

        Args:
            inputs: float [batch, n, D], zero at padding.
            seen: bool [batch, n, n], whether the position i of a row may attend to j.
            training: Whether dropout is active.

        Returns:
            float [batch, n, D], and the attention, float [batch, heads, n, n].
        """
        raise NotImplementedError

    def call(self, inputs, mask=None, training=False):
        real = real_items(inputs, mask)
        places = ops.arange(ops.shape(inputs)[1])
        seen = (places[:, None] >= places) & real[:, None, :]
        is_item = ops.cast(real, inputs.dtype)[..., None]
        x, attention = self.transform(inputs * is_item, seen, training)
        x = x * is_item
        if not self.return_attention:
            return x
        attention = ops.mean(attention, axis=1)
        return x, attention * ops.cast(seen & real[:, :, None], attention.dtype)

    def compute_mask(self, inputs, mask=None):
        return (mask, mask) if self.return_attention else mask

    def compute_output_shape(self, input_shape):
        attention = (*input_shape[:-1], input_shape[1])
        return (input_shape, attention) if self.return_attention else input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "heads": self.heads,
            "dropout": self.dropout,
            "return_attention": self.return_attention,
            "kernel_initializer": keras.initializers.serialize(
                keras.initializers.get(self.kernel_initializer)
            ),
        }
