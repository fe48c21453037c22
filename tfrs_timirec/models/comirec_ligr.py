"""ComiRec over eSASRec's LiGR blocks."""

from dataclasses import dataclass

from tfrs_timirec.models.comirec_deep import ComiRecDeep, ComiRecDeepSettings
from tfrs_timirec.models.esasrec import ESASRec


@dataclass
class ComiRecLiGRSettings(ComiRecDeepSettings):
    """The settings of ComiRec over eSASRec's LiGR blocks."""

    system: str = "comirec_ligr"


class ComiRecLiGR(ComiRecDeep, ESASRec):
    """K interests over eSASRec's LiGR blocks."""

    settings_type = ComiRecLiGRSettings
    title = "ComiRec (LiGR)"
