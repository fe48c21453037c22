"""eSASRec: SASRec with LiGR blocks."""

from dataclasses import dataclass

from tfrs_timirec.layers import LiGRBlock
from tfrs_timirec.models.stacked import Stacked, StackedSettings


@dataclass
class ESASRecSettings(StackedSettings):
    """The settings of eSASRec."""

    system: str = "esasrec"


class ESASRec(Stacked):
    """One query vector, the output of LiGR blocks at the newest item.

    (Tikhonovich et al., RecSys 2025, with the objective `sampled_softmax`.)
    """

    settings_type = ESASRecSettings
    title = "eSASRec"

    @classmethod
    def build_block(cls, settings, **kwargs):
        return LiGRBlock(**kwargs)
