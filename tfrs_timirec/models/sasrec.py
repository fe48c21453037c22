"""SASRec: self-attention, read at the newest item."""

from dataclasses import dataclass

import keras

from tfrs_timirec.layers import DistanceToEndEmbedding, TransformerBlock
from tfrs_timirec.models.base import (
    SequentialRecommender,
    history_input,
    item_table,
    tower_of_one,
)
from tfrs_timirec.models.settings import ModelSettings
from tfrs_timirec.ranges import Share


@dataclass
class SASRecSettings(ModelSettings):
    """SASRec's settings.

    Args:
        dropout: Share dropped in training of the history's embeddings and of the transformer
            block's activations.
    """

    system: str = "sasrec"
    dropout: Share = 0.0


class SASRec(SequentialRecommender):
    """One query vector, the output of a transformer block at the newest item.

    (Kang and McAuley, ICDM 2018, as in the comparison of TiMiRec's authors: one block of one head,
    normalised after each residual connection, positions counted from the newest item, and
    TiMiRec's loss, eq. 10 of CIKM 2022.) Nothing comes after the newest item, and no second block
    reads the other outputs, so that the causal mask would change nothing: there is none.
    """

    settings_type = SASRecSettings
    title = "SASRec"

    @classmethod
    def build_tower(cls, num_items, settings, initializer, seed) -> keras.Model:
        history = history_input()
        x = item_table(num_items, settings.embedding_size, initializer)(history)
        x = DistanceToEndEmbedding(settings.history_length, initializer, name="position")(x)
        x = keras.layers.Dropout(settings.dropout, name="drop")(x)
        block = TransformerBlock(
            initializer, settings.dropout, return_attention=True, newest_only=True, name="block"
        )
        return tower_of_one({"history": history}, *block(x))
