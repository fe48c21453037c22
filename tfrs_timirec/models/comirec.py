"""The self-attentive multi-interest recommender: TiMiRec's first phase."""

from dataclasses import dataclass

import keras
from keras import ops

from tfrs_timirec.layers import SelfAttentiveExtractor
from tfrs_timirec.models.base import history_input, item_table, tower_of_interests
from tfrs_timirec.models.multi_interest import InterestSettings, MultiInterest
from tfrs_timirec.ranges import Share, Size


@dataclass
class ComiRecSettings(InterestSettings):
    """ComiRec's settings (the defaults are those of TiMiRec's authors for Beauty).

    Args:
        attention_width: The inner width of the self-attention, rows of W1.
        positions: Position embeddings first, without a transformer block, too.
        transformer: Position embeddings and a transformer block first, the "+" variants.
        dropout: Share dropped in training of the history's embeddings and of the transformer
            block's activations.
    """

    system: str = "comirec"
    attention_width: Size = 8
    positions: bool = False
    transformer: bool = False
    dropout: Share = 0.0


class ComiRec(MultiInterest):
    """K interests; the one that matches the target best is trained, and the best one scores.

    (ComiRec-SA, Cen et al., KDD 2020, with TiMiRec's loss: eqs. 1, 2 and 10 of CIKM 2022.) With
    `settings.transformer` it is ComiRec+.
    """

    settings_type = ComiRecSettings

    @property
    def title(self) -> str:
        if self.settings.transformer:
            return "ComiRec+"
        return "ComiRec, positions" if self.settings.positions else "ComiRec"

    @classmethod
    def build_tower(cls, num_items, settings, initializer, seed) -> keras.Model:
        history = history_input()
        extractor = SelfAttentiveExtractor(
            settings.num_interests,
            settings.attention_width,
            settings.transformer,
            settings.history_length,
            kernel_initializer=initializer,
            dropout=settings.dropout,
            return_attention=True,
            positions=settings.positions,
            name="extractor",
        )
        interests, attention = extractor(
            item_table(num_items, settings.embedding_size, initializer)(history)
        )
        return tower_of_interests({"history": history}, interests, attention)

    def represent_prefixes(self, inputs, training=False):
        if self.settings.transformer or self.settings.routing_penalty:
            return super().represent_prefixes(inputs, training)
        items = self.items(inputs["history"])
        interests = self.user_tower.get_layer("extractor").of_prefixes(items, training)
        interests = ops.reshape(interests, (-1, *interests.shape[2:]))
        return {"query_vectors": interests}
