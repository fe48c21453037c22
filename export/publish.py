"""A trained run as versions of servable models in a folder that a server watches."""

import shutil
from pathlib import Path

import numpy as np
import tensorflow as tf

from export.card import model_card
from export.metadata import read_metadata
from export.retrieval import SMALLEST_INDEX, ExactSearch, ScannSearch, Search
from export.saved import read_signatures
from export.servable import Servable
from export.settings import ExportSettings
from export.vocabulary import Vocabulary
from export.warmup import write_warmup
from tfrs_timirec.errors import UserError
from tfrs_timirec.training import checkpoint
from tfrs_timirec.training.run import Run
from tfrs_timirec.training.session import Session

MODELS = ("exact", "scann")


def publish(folder: Path, out: Path, settings: ExportSettings) -> tuple[list[Path], list]:
    """Exports a run as the next version of the models `exact` and `scann`.

    Each appears as a whole: it is written beside, under a name that servers pass over, and renamed.

    Args:
        folder: The run folder.
        out: The folder of the models.
        settings: What the models answer.

    Returns:
        The folders of the new versions, and two ids of items to try them with.

    Raises:
        UserError: If the run is not trained to its end, damaged or not of its data, or the
            settings do not fit the catalogue.
    """
    run = Run(folder)
    run_settings = run.settings()
    if not (folder / "metrics.json").exists():
        raise UserError(
            f"The run {folder} is not trained to its end: go on with it by "
            f"python -m tfrs_timirec.train --resume and its settings."
        )
    session = Session(run_settings)
    run.check_data(session.store.digest)
    model, store = session.model, session.store
    if model.phases():
        checkpoint.load(run.best(len(model.phases())), model.state)
    if settings.k > store.num_items:
        raise UserError(
            f"k is {settings.k}, but the catalogue has {store.num_items} items: lower --k."
        )
    titles = read_metadata(settings, settings.titles_column, store.item_ids)
    categories = None
    if settings.categories_column is not None:
        categories = read_metadata(settings, settings.categories_column, store.item_ids)
        if categories is None:
            raise UserError(
                f"The categories are to be the column {settings.categories_column} of no file: "
                f"name it with --titles."
            )
    vocabulary = Vocabulary(store.item_ids)
    counts = session.popularity().item_vectors()[:, 0]
    popularity = (counts / tf.reduce_sum(counts)).numpy()
    number = 1 + max(
        (int(path.name) for name in MODELS for path in _versions(out / name)), default=0
    )
    parts = [out / name / f".{number}.part" for name in MODELS]
    try:
        for name, part in zip(MODELS, parts, strict=True):
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            search, words = _search(name, model.item_vectors(), settings)
            servable = Servable(
                model,
                run_settings.model.history_length,
                vocabulary,
                search,
                popularity,
                settings,
                titles,
                categories,
            )
            options = tf.saved_model.SaveOptions(namespace_whitelist=["Scann"])
            tf.saved_model.save(servable, str(part), servable.signatures, options)
            saved = read_signatures(part)
            write_warmup(part, name, vocabulary, run_settings.model.history_length, saved)
            card = model_card(run, session, settings, words, vocabulary.padding, saved)
            (part / "model_card.md").write_text(card)
        versions = [part.rename(part.with_name(str(number))) for part in parts]
        return versions, store.item_ids[:2].to_pylist()
    finally:
        for part in parts:
            shutil.rmtree(part, ignore_errors=True)


def _versions(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*") if path.name.isdecimal()]


def _search(name: str, items: np.ndarray, settings: ExportSettings) -> tuple[Search, str]:
    if name == "scann" and len(items) >= SMALLEST_INDEX:
        return ScannSearch(items, settings), "a ScaNN index"
    if name == "scann":
        return ExactSearch(items), "exact, since the catalogue is too small for a ScaNN index"
    return ExactSearch(items), "exact"
