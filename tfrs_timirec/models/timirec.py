"""TiMiRec: target-interest distillation for multi-interest recommendation."""

from dataclasses import dataclass

from tfrs_timirec.models.comirec import ComiRec, ComiRecSettings
from tfrs_timirec.models.distillation import DistillationSettings, Distilled


@dataclass
class TiMiRecSettings(DistillationSettings, ComiRecSettings):
    """TiMiRec's settings."""

    system: str = "timirec"


class TiMiRec(Distilled):
    """TiMiRec as its authors have it, over ComiRec's interests; with a transformer, TiMiRec+."""

    settings_type = TiMiRecSettings
    extractor = ComiRec
