"""YouTube DNN: the mean of the history through a dense layer."""

from dataclasses import dataclass

import keras
from keras import ops

from tfrs_timirec.layers import HistoryMean
from tfrs_timirec.models.base import (
    SequentialRecommender,
    history_input,
    item_table,
    tower_of_one,
)
from tfrs_timirec.models.settings import ModelSettings


@dataclass
class YouTubeDNNSettings(ModelSettings):
    """YouTube DNN has no settings of its own."""

    system: str = "youtube_dnn"


class YouTubeDNN(SequentialRecommender):
    """One query vector, W · mean(e_1 … e_n) + b.

    (Covington et al., RecSys 2016, section 3, as in the comparison of TiMiRec's authors: of its
    features the watch history alone, of its tower one dense layer without an activation, and
    TiMiRec's loss, eq. 10 of CIKM 2022.)
    """

    settings_type = YouTubeDNNSettings
    title = "YouTube DNN"

    @classmethod
    def build_tower(cls, num_items, settings, initializer, seed) -> keras.Model:
        history = history_input()
        size = settings.embedding_size
        items = item_table(num_items, size, initializer)(history)
        dense = keras.layers.Dense(size, kernel_initializer=initializer, name="dense")
        query = dense(HistoryMean(name="mean")(items))
        real = ops.cast(ops.not_equal(history, 0), "float32")
        share = real / ops.maximum(ops.sum(real, axis=1, keepdims=True), 1)
        return tower_of_one({"history": history}, query, share)

    def represent_prefixes(self, inputs, training=False):
        total = ops.cumsum(self.items(inputs["history"]), axis=1)
        count = ops.arange(1, total.shape[1] + 1, dtype=total.dtype)[None, :, None]
        query = self.user_tower.get_layer("dense")(total / count)
        return {"query_vectors": ops.reshape(query, (-1, 1, query.shape[-1]))}
