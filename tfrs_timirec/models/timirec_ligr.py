"""TiMiRec over eSASRec's LiGR blocks."""

from dataclasses import dataclass

from tfrs_timirec.models.comirec_ligr import ComiRecLiGR, ComiRecLiGRSettings
from tfrs_timirec.models.distillation import DistillationSettings, Distilled


@dataclass
class TiMiRecLiGRSettings(DistillationSettings, ComiRecLiGRSettings):
    """The settings of TiMiRec over eSASRec's LiGR blocks."""

    system: str = "timirec_ligr"


class TiMiRecLiGR(Distilled):
    """Target-interest distillation over interests that are extracted from eSASRec's LiGR blocks."""

    settings_type = TiMiRecLiGRSettings
    extractor = ComiRecLiGR
