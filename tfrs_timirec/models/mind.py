"""MIND: interests by dynamic routing."""

from dataclasses import dataclass

import keras
import tensorflow as tf

from tfrs_timirec.layers import DynamicRouting
from tfrs_timirec.models.base import history_input, item_table, tower_of_interests
from tfrs_timirec.models.losses import label_aware_interest
from tfrs_timirec.models.multi_interest import InterestSettings, MultiInterest
from tfrs_timirec.ranges import Scale


@dataclass
class MINDSettings(InterestSettings):
    """MIND's settings.

    Args:
        label_power: p of the label-aware attention; null for infinite, which takes the interest
            that matches the target best.
    """

    system: str = "mind"
    label_power: Scale | None = None


class MIND(MultiInterest):
    """K interests, to which the history's items are routed; the best one scores.

    (Li et al., CIKM 2019: sections 4.3 and 4.4, without the users' profiles and the dense layers
    that take them in, and with TiMiRec's loss, eq. 10 of CIKM 2022, as in its authors'
    comparison.) In training the label-aware attention chooses the query vector.
    """

    settings_type = MINDSettings
    # With smaller ones the capsules vanish, whose length is squashed by its square.
    initial_stddev = 0.1
    title = "MIND"

    @classmethod
    def build_tower(cls, num_items, settings, initializer, seed) -> keras.Model:
        history = history_input()
        routing = DynamicRouting(
            settings.num_interests,
            settings.history_length,
            kernel_initializer=initializer,
            seed=seed,
            return_attention=True,
            name="routing",
        )
        interests, share = routing(
            item_table(num_items, settings.embedding_size, initializer)(history)
        )
        return tower_of_interests({"history": history}, interests, share)

    def choose_query(self, queries: tf.Tensor, positive: tf.Tensor) -> tf.Tensor:
        return label_aware_interest(queries, positive, self.settings.label_power)
