"""Raw item ids to the model's indices and back, inside the graph."""

import numpy as np
import pyarrow as pa
import tensorflow as tf


class Vocabulary(tf.Module):
    """The catalogue's ids. Index 0 is no item: padding, or an id that the log did not have.

    Args:
        item_ids: string or int64 [items]; the id of index 1 first.

    Attributes:
        dtype: `tf.string` or `tf.int64`, as in the log.
        padding: The id that stands for no item: "", or an integer that is no item's id.
    """

    def __init__(self, item_ids: pa.Array):
        super().__init__()
        ids = item_ids.to_numpy(zero_copy_only=False)
        if pa.types.is_integer(item_ids.type):
            self.dtype, self.padding = tf.int64, min(-1, int(ids.min()) - 1)
        else:
            self.dtype, self.padding = tf.string, ""
        keys = tf.constant(ids, self.dtype)
        self._ids = tf.concat([tf.constant([self.padding], self.dtype), keys], axis=0)
        indices = tf.range(1, len(ids) + 1, dtype=tf.int64)
        self._table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(keys, indices), default_value=0
        )

    def indices(self, ids: tf.Tensor) -> tf.Tensor:
        """int32 of any shape; 0 for an id that is no item's."""
        return tf.cast(self._table.lookup(ids), tf.int32)

    def restricts(self, ids: tf.Tensor) -> tf.Tensor:
        """bool [rows, 1]: which rows [rows, m] hold more than padding, be it an item's id or not.

        Beside the vocabulary's own padding this is what servers and clients fill rows up with: no
        log has the smallest integer as an id.
        """
        filled = ids != self.padding
        if self.dtype == tf.int64:
            filled &= ids != tf.int64.min
        return tf.reduce_any(filled, axis=1, keepdims=True)

    def ids(self, indices: tf.Tensor) -> tf.Tensor:
        """The ids of indices of any shape; the padding for 0."""
        return tf.gather(self._ids, indices)

    def example(self, count: int) -> np.ndarray:
        """The first ids of the catalogue, [count] or fewer."""
        return self._ids[1 : count + 1].numpy()
