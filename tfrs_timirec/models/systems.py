"""All recommenders by name."""

from dataclasses import fields

from tfrs_timirec.models.base import SequentialRecommender
from tfrs_timirec.models.bsarec import BSARec
from tfrs_timirec.models.comirec import ComiRec
from tfrs_timirec.models.comirec_bsarec import ComiRecBSARec
from tfrs_timirec.models.comirec_ligr import ComiRecLiGR
from tfrs_timirec.models.esasrec import ESASRec
from tfrs_timirec.models.gru4rec import GRU4Rec
from tfrs_timirec.models.hstu import HSTU
from tfrs_timirec.models.mind import MIND
from tfrs_timirec.models.popularity import Popularity
from tfrs_timirec.models.sasrec import SASRec
from tfrs_timirec.models.sasrec_deep import DeepSASRec
from tfrs_timirec.models.timirec import TiMiRec
from tfrs_timirec.models.timirec_bsarec import TiMiRecBSARec
from tfrs_timirec.models.timirec_ligr import TiMiRecLiGR
from tfrs_timirec.models.timirec_mind import TiMiRecMIND
from tfrs_timirec.models.tisasrec import TiSASRec
from tfrs_timirec.models.youtube_dnn import YouTubeDNN

SYSTEMS: dict[str, type[SequentialRecommender]] = {
    "popularity": Popularity,
    "youtube_dnn": YouTubeDNN,
    "gru4rec": GRU4Rec,
    "mind": MIND,
    "comirec": ComiRec,
    "sasrec": SASRec,
    "tisasrec": TiSASRec,
    "sasrec_deep": DeepSASRec,
    "esasrec": ESASRec,
    "bsarec": BSARec,
    "hstu": HSTU,
    "comirec_ligr": ComiRecLiGR,
    "comirec_bsarec": ComiRecBSARec,
    "timirec": TiMiRec,
    "timirec_mind": TiMiRecMIND,
    "timirec_ligr": TiMiRecLiGR,
    "timirec_bsarec": TiMiRecBSARec,
}


def systems_with(setting: str) -> list[str]:
    """The names of the systems that have a setting."""
    return [
        name
        for name, system in SYSTEMS.items()
        if setting in {field.name for field in fields(system.settings_type)}
    ]
