"""ComiRec over several blocks: the first phase of TiMiRec on a modern tower."""

from dataclasses import dataclass

import keras
from keras import ops

from tfrs_timirec.layers import NewestItem, SelfAttentiveExtractor
from tfrs_timirec.models.base import SequentialRecommender, history_input, tower_of_interests
from tfrs_timirec.models.multi_interest import InterestSettings, MultiInterest
from tfrs_timirec.models.stacked import Stacked, StackedSettings
from tfrs_timirec.ranges import Size


@dataclass
class ComiRecDeepSettings(StackedSettings, InterestSettings):
    """The settings of ComiRec over several blocks.

    Args:
        attention_width: The inner width of the extractor's self-attention.
    """

    attention_width: Size = 8


class ComiRecDeep(MultiInterest, Stacked):
    """K interests, each the output of the last block at the newest item and what it adds to it.

    What is added is extracted from the outputs at all items. By itself, without the newest, it
    ranks worse than the blocks' own system with its one vector. A subclass is this class over the
    system that has the blocks.
    """

    @classmethod
    def build_tower(cls, num_items, settings, initializer, seed) -> keras.Model:
        history = history_input()
        states, _ = cls.build_states(history, num_items, settings, initializer)
        extractor = SelfAttentiveExtractor(
            settings.num_interests,
            settings.attention_width,
            kernel_initializer=initializer,
            return_attention=True,
            name="extractor",
        )
        interests, attention = extractor(states)
        newest = ops.expand_dims(NewestItem(name="newest")(states), 1)
        return tower_of_interests({"history": history}, newest + interests, attention)

    def represent_prefixes(self, inputs, training=False):
        if self.settings.routing_penalty or not self.causal:
            return SequentialRecommender.represent_prefixes(self, inputs, training)
        states = self._states({"history": inputs["history"]}, training=training)
        interests = self.user_tower.get_layer("extractor").of_prefixes(states, training)
        interests = states[:, :, None] + interests
        return {"query_vectors": ops.reshape(interests, (-1, *interests.shape[2:]))}
