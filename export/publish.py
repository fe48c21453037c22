"""A trained recommender as versions of servable models in a folder that a server watches."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfrs_timirec.config import check_fields
from tfrs_timirec.data.instances import whole_histories
from tfrs_timirec.data.metadata import read_metadata
from tfrs_timirec.errors import UserError
from tfrs_timirec.export.card import model_card
from tfrs_timirec.export.catalogue import Catalogue
from tfrs_timirec.export.extras import check_export, models
from tfrs_timirec.export.retrieval import (
    RECALL_AT,
    SMALLEST_INDEX,
    ExactSearch,
    ScannSearch,
    Search,
)
from tfrs_timirec.export.saved import numbered_versions, read_signatures
from tfrs_timirec.export.servable import Servable
from tfrs_timirec.export.settings import ExportSettings
from tfrs_timirec.export.users import Tower
from tfrs_timirec.export.vocabulary import Vocabulary
from tfrs_timirec.export.warmup import write_warmup
from tfrs_timirec.files import flush, flush_all, locked, told, write_whole
from tfrs_timirec.recommender import Recommender

MODELS = ("exact", "scann")
# Whose query vectors the index is tried with.
CALIBRATION_USERS = 256
_PUBLISHING = ".publishing.json"


def publish(
    recommender: Recommender,
    out: Path,
    settings: ExportSettings,
    names: Sequence[str] | None = None,
) -> tuple[list[Path], list[str | int]]:
    """Exports a recommender as the next version of the models `exact` and `scann`.

    Each version appears as a whole: it is written beside, under a name that servers pass over, and
    renamed once all are complete. What a killed export has begun to rename, the next one ends.
    Without the package scann, `exact` is all.

    Args:
        recommender: Which is trained.
        out: The folder of the models.
        settings: What the models answer.
        names: Which of `MODELS`; None is all whose packages are there.

    Returns:
        The folders of the new versions, and two ids of items to try them with.

    Raises:
        UserError: If the settings are out of range or do not fit the catalogue, a package is
            missing, the disk is full, or another process exports into the folder.
    """
    check_export(out)
    check_fields(settings)
    item_ids = recommender.sequences.item_ids
    if settings.k > len(item_ids):
        raise UserError(
            f"k is {settings.k}, but the catalogue has {len(item_ids)} items: lower --k."
        )
    if settings.leaves is not None and settings.leaves > len(item_ids):
        raise UserError(
            f"leaves is {settings.leaves}, but the catalogue has {len(item_ids)} items: lower "
            "--leaves."
        )
    titles = read_metadata(settings, settings.titles_column, item_ids)
    categories = None
    if settings.categories_column is not None:
        categories = read_metadata(settings, settings.categories_column, item_ids)
        if categories is None:
            raise UserError(
                f"The categories are to be the column {settings.categories_column} of no file: "
                f"name it with --titles."
            )
    vocabulary = Vocabulary(item_ids)
    tower = Tower(recommender, vocabulary)
    length = recommender.settings.model.history_length
    vectors = recommender.system.user_tower.output["query_vectors"].shape[1]
    needed = vectors * (settings.k + length + 1), vectors * len(item_ids)
    most_users = min(
        settings.request_rows,
        settings.input_elements // needed[0],
        settings.request_scores // needed[1],
    )
    if not most_users:
        raise UserError(
            f"A request of one user needs --input_elements {needed[0]} and --request_scores "
            f"{needed[1]}: give at least so many."
        )
    popularity = recommender.counts / recommender.counts.sum()
    with told(out), locked(out):
        _repair(out)
        folders = [out / name for name in MODELS if (out / name).exists()]
        number = 1 + max((n for folder in folders for n in numbered_versions(folder)), default=0)
        parts = [out / name / f".{number}.part" for name in names or models()]
        try:
            for part in parts:
                model = part.parent.name
                search, words = _search(model, recommender, settings)
                if part is not parts[0] and isinstance(search, ExactSearch):
                    # To trace the same graph again would take seconds.
                    shutil.copytree(parts[0], part)
                else:
                    catalogue = Catalogue(search, popularity, settings)
                    servable = Servable(tower, vocabulary, catalogue, settings, titles, categories)
                    options = tf.saved_model.SaveOptions(namespace_whitelist=["Scann"])
                    part.mkdir(parents=True)
                    tf.saved_model.save(servable, str(part), servable.signatures, options)
                saved = read_signatures(part)
                write_warmup(part, model, vocabulary, length, most_users, saved)
                card = model_card(recommender, settings, words, vocabulary.padding, saved)
                (part / "model_card.md").write_text(card)
                flush_all(part)
            return _rename(out, parts), item_ids[:2].to_pylist()
        except tf.errors.OpError as error:
            raise OSError(error.message) from error
        finally:
            if not (out / _PUBLISHING).exists():
                for part in parts:
                    shutil.rmtree(part, ignore_errors=True)


def _rename(out: Path, parts: list[Path]) -> list[Path]:
    """Gives complete versions their names: all, or else the next export gives the others theirs."""
    names = [str(part.relative_to(out)) for part in parts]
    write_whole(out / _PUBLISHING, lambda file: file.write(json.dumps(names).encode()))
    versions = [part.with_name(part.stem.removeprefix(".")) for part in parts]
    for part, version in zip(parts, versions, strict=True):
        if part.exists():
            part.rename(version)
        flush(version.parent)
    (out / _PUBLISHING).unlink()
    return versions


def _repair(out: Path) -> None:
    """Ends or removes what killed exports have begun."""
    if (out / _PUBLISHING).exists():
        try:
            names = json.loads((out / _PUBLISHING).read_text())
            parts = [out / name for name in names]
        except (ValueError, TypeError):
            raise UserError(f"{out / _PUBLISHING} is damaged: delete it.") from None
        _rename(out, parts)
    for left in (left for name in MODELS for left in (out / name).glob(".*.part")):
        shutil.rmtree(left)


def _search(name: str, recommender: Recommender, settings: ExportSettings) -> tuple[Search, str]:
    items = recommender.item_vectors()
    if name == "scann" and len(items) >= SMALLEST_INDEX:
        queries = _queries(recommender)
        search = ScannSearch(items, queries, settings)
        missed = f"; the target of {settings.target_recall} was not reached, and this is the best"
        return search, (
            f"a ScaNN index of {search.leaves:,} leaves, of which a query searches "
            f"{search.leaves_to_search:,} or more; {search.reordering} candidates for each item "
            f"asked for are scored, in {settings.quantize}. It finds {search.recall:.3f} of the "
            f"exact best {RECALL_AT} of {len(queries):,} users"
            f"{missed if search.recall < settings.target_recall else ''}"
        )
    exact = ExactSearch(items, settings)
    if name == "scann":
        return exact, "exact, since the catalogue is too small for a ScaNN index"
    return exact, "exact"


def _queries(recommender: Recommender) -> tf.Tensor:
    """float32 [users, M, D], the query vectors of some users with all that they have had."""
    store, length = recommender.sequences, recommender.settings.model.history_length
    users = np.random.default_rng(0).permutation(store.num_users)[:CALIBRATION_USERS]
    histories = whole_histories(store, users, length)
    return recommender.system.query_vectors(histories.inputs(np.arange(len(users)), length))
