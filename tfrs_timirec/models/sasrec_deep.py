"""SASRec as it is trained today: several causal blocks over a longer history."""

from dataclasses import dataclass

from tfrs_timirec.layers import SASRecBlock
from tfrs_timirec.models.stacked import Stacked, StackedSettings


@dataclass
class DeepSASRecSettings(StackedSettings):
    """The settings of SASRec of several blocks."""

    system: str = "sasrec_deep"


class DeepSASRec(Stacked):
    """One query vector, the output of several of SASRec's blocks at the newest item.

    (Kang and McAuley, ICDM 2018; with a loss over many negatives, as `sampled_softmax`, it is the
    strong baseline of Klenitskiy and Vasilev, RecSys 2023.) `sasrec` is the one block of TiMiRec's
    comparison.
    """

    settings_type = DeepSASRecSettings
    title = "SASRec (deep)"

    @classmethod
    def build_block(cls, settings, **kwargs):
        return SASRecBlock(**kwargs)
