"""GRU4Rec: the history read by a recurrent network."""

from dataclasses import dataclass

import keras
from keras import ops

from tfrs_timirec.layers import StateChange
from tfrs_timirec.models.base import (
    SequentialRecommender,
    history_input,
    item_table,
    tower_of_one,
)
from tfrs_timirec.models.settings import ModelSettings


@dataclass
class GRU4RecSettings(ModelSettings):
    """GRU4Rec has no settings of its own."""

    system: str = "gru4rec"


class GRU4Rec(SequentialRecommender):
    """One query vector, W · GRU(e_1 … e_n) + b.

    (Hidasi et al., ICLR 2016, section 3, with one layer of D units, a dense layer, and TiMiRec's
    loss, eq. 10 of CIKM 2022, as in its authors' comparison.) It has no attention; an item's
    share is how far it moved the state.
    """

    settings_type = GRU4RecSettings
    title = "GRU4Rec"

    @classmethod
    def build_tower(cls, num_items, settings, initializer, seed) -> keras.Model:
        history = history_input()
        size = settings.embedding_size
        gru = keras.layers.GRU(
            size,
            kernel_initializer=initializer,
            recurrent_initializer=initializer,
            return_sequences=True,
            return_state=True,
            name="gru",
        )
        states, state = gru(item_table(num_items, size, initializer)(history))
        query = keras.layers.Dense(size, kernel_initializer=initializer, name="dense")(state)
        return tower_of_one({"history": history}, query, StateChange(name="share")(states))

    def represent_prefixes(self, inputs, training=False):
        states, _ = self.user_tower.get_layer("gru")(self.items(inputs["history"]))
        query = self.user_tower.get_layer("dense")(states)
        return {"query_vectors": ops.reshape(query, (-1, 1, query.shape[-1]))}
