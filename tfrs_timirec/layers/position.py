"""Positions that count from the newest item, or from the oldest."""

import keras
from keras import ops


def distance_to_end(mask):
    """Each item's distance to the end of its history, on whichever side the padding is.

    Args:
        mask: bool [batch, n], true at items.

    Returns:
        int32 [batch, n]: 1 at the newest item, 2 at the one before it, 0 at padding.
    """
    real = ops.cast(mask, "int32")
    return ops.flip(ops.cumsum(ops.flip(real, axis=1), axis=1), axis=1) * real


def distance_to_start(mask):
    """Each item's place in its history, on whichever side the padding is.

    Args:
        mask: bool [batch, n], true at items.

    Returns:
        int32 [batch, n]: 1 at the oldest item, 2 at the one after it, 0 at padding.
    """
    real = ops.cast(mask, "int32")
    return ops.cumsum(real, axis=1) * real


def real_items(inputs, mask):
    """The mask, or one that takes every position for an item: bool [batch, n].

    Args:
        inputs: [batch, n, D].
        mask: bool [batch, n], or None.
    """
    return ops.ones(ops.shape(inputs)[:-1], dtype="bool") if mask is None else mask


def check_length(inputs, max_length: int) -> None:
    """Raises ValueError if the history [batch, n, D] has more than `max_length` positions."""
    if inputs.shape[1] is not None and inputs.shape[1] > max_length:
        raise ValueError(
            f"The history has {inputs.shape[1]} positions, but max_length is {max_length}."
        )


class _PositionEmbedding(keras.layers.Layer):
    """A table of L + 1 rows, of which a subclass's `places` says which is added to each item."""

    def __init__(self, max_length: int, embeddings_initializer="uniform", **kwargs):
        super().__init__(**kwargs)
        if max_length < 1:
            raise ValueError(f"max_length must be at least 1, got {max_length}.")
        self.max_length = max_length
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        self.supports_masking = True

    def build(self, input_shape):
        self.table = self.add_weight(
            shape=(self.max_length + 1, input_shape[-1]),
            initializer=self.embeddings_initializer,
            name="table",
        )

    def call(self, inputs, mask=None):
        check_length(inputs, self.max_length)
        return inputs + self._added(real_items(inputs, mask))

    def _added(self, mask):
        """The rows of the table that belong to a mask [..., n]: float [..., n, D]."""
        # A product, for the gradient of a lookup adds its rows up one after the other.
        chosen = ops.one_hot(self.places(mask), self.max_length + 1, dtype=self.compute_dtype)
        return ops.matmul(chosen, ops.cast(self.table, self.compute_dtype))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "max_length": self.max_length,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
        }


@keras.saving.register_keras_serializable("tfrs_timirec")
class DistanceToEndEmbedding(_PositionEmbedding):
    """Adds an embedding of each item's distance to the end of its history.

    The newest item has distance 1, the one before it 2; padding has 0. It does not matter on
    which side the padding is. (The "+" variants of TiMiRec, CIKM 2022, section 4.)

    Args:
        max_length: L, the longest history; the table has L + 1 rows.
        embeddings_initializer: Initializer of the table.

    Call arguments:
        inputs: float [batch, n, D], n <= L.
        mask: bool [batch, n], true where there is an item; all of them without it.

    Returns:
        float [batch, n, D].

    Raises:
        ValueError: If n is larger than `max_length`.

    Example:

        x = keras.layers.Embedding(1000, 64, mask_zero=True)(history)
        x = DistanceToEndEmbedding(max_length=20)(x)
    """

    places = staticmethod(distance_to_end)

    def of_prefixes(self, length: int):
        """What is added to each item of a history without padding, in each of its beginnings.

        Args:
            length: n, at most L.

        Returns:
            float [n, n, D]: at t, j what item j has in the history up to item t; item j is not in
            it if j > t.
        """
        return self._added(ops.tril(ops.ones((length, length), dtype="bool")))


@keras.saving.register_keras_serializable("tfrs_timirec")
class DistanceToStartEmbedding(_PositionEmbedding):
    """Adds an embedding of each item's place in its history, which later items do not change.

    The oldest item has place 1, the one after it 2; padding has 0. It does not matter on which side
    the padding is. Arguments, results and errors are those of `DistanceToEndEmbedding`.

    Example:

        x = keras.layers.Embedding(1000, 64, mask_zero=True)(history)
        x = DistanceToStartEmbedding(max_length=50)(x)
    """

    places = staticmethod(distance_to_start)
