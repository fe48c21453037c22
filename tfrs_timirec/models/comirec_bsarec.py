"""ComiRec over BSARec's blocks."""

from dataclasses import dataclass

from tfrs_timirec.models.bsarec import BSARec, BSARecSettings
from tfrs_timirec.models.comirec_deep import ComiRecDeep, ComiRecDeepSettings


@dataclass
class ComiRecBSARecSettings(ComiRecDeepSettings, BSARecSettings):
    """The settings of ComiRec over BSARec's blocks."""

    system: str = "comirec_bsarec"


class ComiRecBSARec(ComiRecDeep, BSARec):
    """K interests over BSARec's blocks."""

    settings_type = ComiRecBSARecSettings
    title = "ComiRec (BSARec)"
