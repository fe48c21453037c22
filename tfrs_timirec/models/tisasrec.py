"""TiSASRec: self-attention that knows the time between items."""

from dataclasses import dataclass

import keras

from tfrs_timirec.layers import TimeIntervalBlock
from tfrs_timirec.models.base import (
    SequentialRecommender,
    history_input,
    item_table,
    tower_of_one,
)
from tfrs_timirec.models.settings import ModelSettings
from tfrs_timirec.ranges import Share, Size


@dataclass
class TiSASRecSettings(ModelSettings):
    """TiSASRec's settings.

    Args:
        max_interval: The longest time between two items that is distinguished from longer ones, in
            units of the shortest one in the history.
        dropout: Share dropped in training of the history's embeddings and of the transformer
            block's activations.
    """

    system: str = "tisasrec"
    max_interval: Size = 512
    dropout: Share = 0.0


class TiSASRec(SequentialRecommender):
    """One query vector, the output of a time-aware transformer block at the newest item.

    (Li et al., WSDM 2020, as in the comparison of TiMiRec's authors: one block of one head,
    normalised after each residual connection, positions counted from the newest item, and
    TiMiRec's loss, eq. 10 of CIKM 2022.) The unit of time is the shortest interval in the
    history that is given, not in everything that the user ever did.
    """

    settings_type = TiSASRecSettings
    title = "TiSASRec"

    @classmethod
    def build_tower(cls, num_items, settings, initializer, seed) -> keras.Model:
        history = history_input()
        times = keras.Input((None,), dtype="int64", name="times")
        x = item_table(num_items, settings.embedding_size, initializer)(history)
        x = keras.layers.Dropout(settings.dropout, name="drop")(x)
        block = TimeIntervalBlock(
            settings.history_length,
            settings.max_interval,
            initializer,
            settings.dropout,
            return_attention=True,
            name="block",
        )
        query, attention = block(x, times)
        return tower_of_one({"history": history, "times": times}, query, attention)
