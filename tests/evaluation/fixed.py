"""A system with vectors by hand."""

import keras
import numpy as np
from keras import ops

from tfrs_timirec.models.base import (
    SequentialRecommender,
    history_input,
    item_table,
    tower_of_interests,
)
from tfrs_timirec.models.settings import ModelSettings


class Fixed(SequentialRecommender):
    """Its users' query vectors hang on the first item of the history alone."""

    settings_type = ModelSettings
    title = "fixed"

    @classmethod
    def of(cls, items: np.ndarray, queries: np.ndarray) -> "Fixed":
        """Item vectors [items, D], and queries [items + 1, M, D], row 0 for an empty history."""
        first, many, size = queries.shape
        history = history_input()
        table = item_table(first - 1, size, "zeros")
        lookup = keras.layers.Embedding(first, many * size, name="queries")
        nothing = ops.zeros_like(table(history)[:, :, :1])
        vectors = ops.reshape(lookup(history[:, 0]), (-1, many, size))
        tower = tower_of_interests({"history": history}, vectors, ops.repeat(nothing, many, axis=2))
        lookup.set_weights([queries.reshape(first, -1)])
        table.set_weights([np.concatenate([np.zeros((1, size)), items])])
        return cls(tower, ModelSettings("fixed", embedding_size=size))
