"""The newest items of a history, and where they stand in it."""

import tensorflow as tf


class Newest:
    """The newest L known items of each row, oldest first, padding after the newest.

    Args:
        known: int32 [batch, n], item indices, oldest first; 0, wherever it is, for what is no item.
        length: L.
    """

    def __init__(self, known: tf.Tensor, length: int):
        real = tf.cast(known > 0, tf.int32)
        from_the_end = tf.cumsum(real, axis=1, reverse=True)
        lengths = tf.minimum(tf.reduce_sum(real, axis=1), length)
        self._cells = tf.where((known > 0) & (from_the_end <= length))
        rows = tf.cast(self._cells[:, 0], tf.int32)
        column = tf.gather(lengths, rows) - tf.gather_nd(from_the_end, self._cells)
        self._places = tf.stack([rows, column], axis=1)
        self._batch, self._columns = tf.unstack(tf.shape(known))
        # No wider than the longest history of the batch: the model has less to compute.
        self._width = tf.maximum(tf.reduce_max(lengths), 1)

    def of(self, values: tf.Tensor) -> tf.Tensor:
        """What belongs to the newest items.

        Args:
            values: [batch, n], one for each place of the rows.

        Returns:
            [batch, width], 0 for padding; the width is that of the longest row, but at least 1.
        """
        shape = [self._batch, self._width]
        return tf.scatter_nd(self._places, tf.gather_nd(values, self._cells), shape)

    def back(self, values: tf.Tensor) -> tf.Tensor:
        """What was computed of the newest items, back at their places in the rows.

        Args:
            values: [batch, width, K].

        Returns:
            [batch, n, K], 0 for what is not among the newest items.
        """
        shape = [self._batch, self._columns, values.shape[2]]
        return tf.scatter_nd(
            self._cells, tf.gather_nd(values, self._places), tf.cast(shape, tf.int64)
        )
