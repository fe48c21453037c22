"""TiMiRec over BSARec's blocks."""

from dataclasses import dataclass

from tfrs_timirec.models.comirec_bsarec import ComiRecBSARec, ComiRecBSARecSettings
from tfrs_timirec.models.distillation import DistillationSettings, Distilled


@dataclass
class TiMiRecBSARecSettings(DistillationSettings, ComiRecBSARecSettings):
    """The settings of TiMiRec over BSARec's blocks."""

    system: str = "timirec_bsarec"


class TiMiRecBSARec(Distilled):
    """Target-interest distillation over interests that are extracted from BSARec's blocks."""

    settings_type = TiMiRecBSARecSettings
    extractor = ComiRecBSARec
