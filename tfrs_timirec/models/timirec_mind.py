"""TiMiRec over MIND's interests."""

from dataclasses import dataclass

from tfrs_timirec.models.distillation import DistillationSettings, Distilled
from tfrs_timirec.models.mind import MIND, MINDSettings


@dataclass
class TiMiRecMINDSettings(DistillationSettings, MINDSettings):
    """The settings of TiMiRec over MIND."""

    system: str = "timirec_mind"


class TiMiRecMIND(Distilled):
    """Target-interest distillation over the interests of MIND's dynamic routing."""

    settings_type = TiMiRecMINDSettings
    extractor = MIND
    initial_stddev = MIND.initial_stddev

    def name_over(self, extractor: str) -> str:
        return f"TiMiRec ({extractor})"
