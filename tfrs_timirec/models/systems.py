"""All recommenders by name."""

from dataclasses import fields

from tfrs_timirec.config import ModelSettings
from tfrs_timirec.errors import UserError
from tfrs_timirec.models.base import SequentialRecommender
from tfrs_timirec.models.comirec import ComiRec
from tfrs_timirec.models.gru4rec import GRU4Rec
from tfrs_timirec.models.mind import MIND
from tfrs_timirec.models.popularity import Popularity
from tfrs_timirec.models.sasrec import SASRec
from tfrs_timirec.models.timirec import TiMiRec
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
    "timirec": TiMiRec,
}


def check_settings(settings: ModelSettings) -> None:
    """Checks that no setting was changed that the system does not have.

    Args:
        settings: The system and its shape.

    Raises:
        UserError: If there is one.
    """
    default = ModelSettings()
    for field in fields(settings):
        value = getattr(settings, field.name)
        having = [name for name, system in SYSTEMS.items() if field.name in system.uses]
        if having and settings.system not in having and value != getattr(default, field.name):
            raise UserError(
                f"model.{field.name} is {value}, but the system {settings.system} has no such "
                f"setting: leave it out, or set model.system to one of {', '.join(having)}."
            )
