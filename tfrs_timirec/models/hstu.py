"""HSTU: attention without a softmax."""

from dataclasses import dataclass

from tfrs_timirec.layers import HSTUBlock
from tfrs_timirec.models.stacked import Stacked, StackedSettings


@dataclass
class HSTUSettings(StackedSettings):
    """The settings of HSTU."""

    system: str = "hstu"


class HSTU(Stacked):
    """One query vector, the output of hierarchical sequential transduction units.

    (Zhai et al., ICML 2024, with the objective `sampled_softmax`.)
    """

    settings_type = HSTUSettings
    title = "HSTU"

    @classmethod
    def build_block(cls, settings, **kwargs):
        return HSTUBlock(settings.history_length, **kwargs)
