"""BSARec: self-attention beside a filter of frequencies."""

from dataclasses import dataclass

from tfrs_timirec.layers import DistanceToEndEmbedding, FrequencyBlock
from tfrs_timirec.models.stacked import Stacked, StackedSettings
from tfrs_timirec.ranges import Few, Share


@dataclass
class BSARecSettings(StackedSettings):
    """The settings of BSARec (the filter's defaults are those of its authors for Beauty).

    Args:
        lowest_frequencies: How many frequencies the filter keeps beside the constant one.
        filter_share: α, the share of the filter; the rest is the attention's.
    """

    system: str = "bsarec"
    lowest_frequencies: Few = 2
    filter_share: Share = 0.7


class BSARec(Stacked):
    """One query vector, the output of frequency blocks at the newest item.

    (Shin et al., AAAI 2024, with the objective `softmax`.)
    """

    settings_type = BSARecSettings
    title = "BSARec"
    position = DistanceToEndEmbedding
    # The filter mixes all positions.
    causal = False
    post_norm = True

    @classmethod
    def build_block(cls, settings, **kwargs):
        return FrequencyBlock(
            settings.history_length, settings.lowest_frequencies, settings.filter_share, **kwargs
        )
