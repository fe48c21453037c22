"""Blocks one on the other over a history; such a system adds its block alone."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import keras
from keras import ops

from tfrs_timirec.errors import UserError
from tfrs_timirec.layers import DistanceToStartEmbedding, NewestItem
from tfrs_timirec.layers.block import Block
from tfrs_timirec.models.base import (
    SequentialRecommender,
    history_input,
    item_table,
    tower_of_one,
)
from tfrs_timirec.models.settings import ModelSettings
from tfrs_timirec.ranges import Few, Share


@dataclass
class StackedSettings(ModelSettings):
    """The settings of systems of several blocks.

    Args:
        blocks: How many, one on the other.
        heads: Of each block's attention; they divide D.
        dropout: Share dropped in training of the history's embeddings and of the blocks'
            activations.
    """

    blocks: Few = 2
    heads: Few = 1
    dropout: Share = 0.2


class Stacked(SequentialRecommender):
    """One query vector, the output of the last block at the newest item.

    A subclass writes `settings_type`, `title` and `build_block`.

    Attributes:
        position: The layer of the positions.
        causal: Whether what the blocks give at an item does not change with later items.
        post_norm: Whether each block ends with a normalisation: then the vectors that come into
            the first one are normalised, and not those that leave the last one.
    """

    settings_type: ClassVar[type[StackedSettings]]
    position: ClassVar[type[keras.layers.Layer]] = DistanceToStartEmbedding
    causal: ClassVar[bool] = True
    post_norm: ClassVar[bool] = False

    @classmethod
    def build_block(cls, settings: StackedSettings, **kwargs) -> Block:
        """One block.

        Args:
            settings: Of the system.
            kwargs: What every block takes.
        """
        raise NotImplementedError

    @classmethod
    def build_states(
        cls,
        history: keras.KerasTensor,
        num_items: int,
        settings: StackedSettings,
        initializer: keras.initializers.Initializer,
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """What the blocks make of the history, [batch, n, D], and the last attention [batch, n, n].

        Args:
            history: int32 [batch, n].
            num_items: Items of the catalogue.
            settings: Of the system.
            initializer: Of all weights that are drawn.

        Raises:
            UserError: If the heads do not divide D.
        """
        if settings.embedding_size % settings.heads:
            raise UserError(
                f"model.heads is {settings.heads}, which does not divide model.embedding_size, "
                f"{settings.embedding_size}: change one of them."
            )
        x = item_table(num_items, settings.embedding_size, initializer)(history)
        x = cls.position(settings.history_length, initializer, name="position")(x)
        if cls.post_norm:
            x = keras.layers.LayerNormalization(epsilon=1e-5, name="embeddings")(x)
        x = keras.layers.Dropout(settings.dropout, name="drop")(x)
        for number in range(settings.blocks):
            block = cls.build_block(
                settings,
                heads=settings.heads,
                kernel_initializer=initializer,
                dropout=settings.dropout,
                return_attention=True,
                name=f"block_{number}",
            )
            x, attention = block(x)
        if not cls.post_norm:
            x = keras.layers.LayerNormalization(epsilon=1e-5, name="states")(x)
        return x, attention

    @classmethod
    def build_tower(cls, num_items, settings, initializer, seed) -> keras.Model:
        history = history_input()
        states, attention = cls.build_states(history, num_items, settings, initializer)
        newest = NewestItem(name="newest")
        return tower_of_one({"history": history}, newest(states), newest(attention))

    @cached_property
    def _states(self) -> keras.Model:
        return keras.Model(self.user_tower.input, self.user_tower.get_layer("states").output)

    def represent_prefixes(self, inputs, training=False):
        if not self.causal:
            return super().represent_prefixes(inputs, training)
        states = self._states({"history": inputs["history"]}, training=training)
        return {"query_vectors": ops.reshape(states, (-1, 1, states.shape[-1]))}
