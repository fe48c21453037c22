"""Popularity: the baseline that every learned system must pass."""

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from tfrs_timirec.models.base import (
    SequentialRecommender,
    history_input,
    item_table,
    tower_of_one,
)
from tfrs_timirec.models.settings import ModelSettings


@dataclass
class PopularitySettings(ModelSettings):
    """Popularity has no settings of its own."""

    system: str = "popularity"


class Popularity(SequentialRecommender):
    """Scores an item with how often it was interacted with in training, whoever asks.

    An item's vector is that one number, and everybody's query vector is 1.
    """

    settings_type = PopularitySettings
    title = "popularity"
    item_tables = 0

    @classmethod
    def build_tower(cls, num_items, settings, initializer, seed) -> keras.Model:
        history = history_input()
        counts = item_table(num_items, 1, "zeros")(history)
        query = ops.ones_like(counts[:, 0])
        return tower_of_one({"history": history}, query, ops.zeros_like(counts[:, :, 0]))

    def learn_counts(self, counts: np.ndarray) -> None:
        self.items.embeddings.assign(np.concatenate([[0], counts])[:, None])

    def phases(self) -> list[SequentialRecommender]:
        return []
