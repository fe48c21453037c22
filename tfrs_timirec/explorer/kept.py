"""What the page needs of a model, made once and kept beside it."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfrs_timirec import __version__
from tfrs_timirec.data.metadata import read_categories, read_metadata
from tfrs_timirec.data.store import file_digest
from tfrs_timirec.errors import UserError
from tfrs_timirec.export.settings import ExportSettings
from tfrs_timirec.files import restore, write_folder

if TYPE_CHECKING:
    from tfrs_timirec.recommender import Recommender

# Raised when the files change in a way that another version of the page cannot read.
FORMAT = 1
SPREAD_USERS = 200
SPREAD_AT = 40
# The values of an input at most: the page asks for all items of categories, in several rows each.
INPUT_ELEMENTS = 2**31 - 1
DATA, MODELS, MODEL = "data", "models", "exact"
_ABOUT = "about.json"


def kept(model: Path, settings: ExportSettings, tell: Callable[[str], object]) -> Path:
    """The folder of what the page needs: made if it is not there, or is another model's.

    It lies beside the model's own folder and has `.explorer` after its name. It holds `data`, what
    the page reads, and `models`, what a server answers with. It is written beside and renamed.
    What is wrong with the titles stands on the page, which does without them then.

    Args:
        model: The folder of a saved recommender.
        settings: The file of titles and its columns.
        tell: Is called with what is done, as it takes long, and with what is wrong.

    Raises:
        UserError: If the model cannot be read, or the folder cannot be written.
    """
    folder = model.with_name(f"{model.name}.explorer")
    restore(folder)
    key = _key(model, settings)
    if _key_in(folder) != key:
        write_folder(folder, lambda written: _write(written, model, settings, key, tell))
    return folder


def _key(model: Path, settings: ExportSettings) -> str:
    """Another one for other content: of the model, the titles, or this code."""
    parts: list[Any] = [FORMAT, __version__, INPUT_ELEMENTS]
    try:
        parts.append(file_digest(model / "recommender.json"))
    except OSError:
        raise UserError(
            f"{model} is neither a saved recommender nor a finished run: name the folder of one."
        ) from None
    if settings.titles is not None:
        try:
            parts.append(file_digest(Path(settings.titles)))
        except OSError:
            parts.append(settings.titles)
        parts += [settings.titles_id_column, settings.titles_column, settings.categories_column]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _key_in(folder: Path) -> str | None:
    try:
        return json.loads((folder / DATA / _ABOUT).read_text())["key"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(
    folder: Path, model: Path, settings: ExportSettings, key: str, tell: Callable[[str], object]
) -> None:
    # TensorFlow takes seconds to import: not before there is work for it.
    from tfrs_timirec.explorer import tables
    from tfrs_timirec.explorer.maps import maps
    from tfrs_timirec.explorer.quality import quality
    from tfrs_timirec.export.publish import publish
    from tfrs_timirec.export.vocabulary import Vocabulary
    from tfrs_timirec.recommender import Recommender

    recommender = Recommender.load(model)
    store = recommender.sequences
    trouble = None
    try:
        titles = read_metadata(settings, settings.titles_column, store.item_ids)
        categories = read_categories(settings, store.item_ids)
        if titles is not None and not any(titles):
            raise UserError(
                f"The titles {settings.titles} have none for any of the model's items: is "
                f"{settings.titles_id_column} the column of the ids that it was trained with?"
            )
    except UserError as error:
        trouble = str(error)
        tell(f"{trouble} The page does without titles.")
        titles = categories = None
        settings = replace(settings, titles=None, categories_column=None)
    data = folder / DATA
    data.mkdir()

    def write(name: str, content: Any) -> None:
        (data / name).write_text(json.dumps(content, allow_nan=False, separators=(",", ":")))

    write("items.json", tables.items(recommender, titles, categories))
    write("users.json", tables.users(recommender))
    tell("Exporting the model …")
    unbounded = replace(settings, input_elements=INPUT_ELEMENTS)
    publish(recommender, folder / MODELS, unbounded, [MODEL])
    tell(f"Placing {store.num_items:,} items on the map …")
    write(
        "maps.json", maps(recommender.item_vectors(), recommender.counts, recommender.settings.seed)
    )
    tell("Judging the interests …")
    write("quality.json", quality(recommender))
    padding = Vocabulary(store.item_ids).padding
    write(_ABOUT, _about(recommender, key) | {"padding": padding, "trouble": trouble})


def _spread(recommender: "Recommender") -> float:
    """How far the scores are apart that a diverse set is chosen among: the median of some users."""
    from tfrs_timirec.data.instances import whole_histories

    settings, store = recommender.settings, recommender.sequences
    users = np.random.default_rng(settings.seed).permutation(store.num_users)[:SPREAD_USERS]
    histories = whole_histories(store, users, settings.model.history_length)
    k = min(SPREAD_AT, store.num_items)
    scores = np.concatenate([best.scores for best in recommender.best(histories, k)])
    # Who had everything is recommended nothing.
    scores = scores[np.isfinite(scores[:, 0])]
    lowest = np.where(np.isfinite(scores), scores, np.inf).min(axis=1)
    return float(np.median(scores[:, 0] - lowest)) if len(scores) else 0.0


def _about(recommender: "Recommender", key: str) -> dict[str, Any]:
    """What the page has to know of the model, with a question and its answer to know it by."""
    store, tower = recommender.sequences, recommender.system.user_tower
    probe = store.item_ids[:3].to_pylist()
    times = [list(range(len(probe)))] if "times" in recommender.system.tower_inputs else None
    weights = recommender.explain(histories=[probe], times=times, k=1).interests["weight"]
    return {
        "key": key,
        "format": FORMAT,
        "version": __version__,
        "model": MODEL,
        "system": recommender.system.title,
        "source": Path(recommender.settings.data.source).stem,
        "users": store.num_users,
        "items": store.num_items,
        "interactions": len(store.items),
        "interests": tower.output["interest_weights"].shape[1],
        "queries": tower.output["query_vectors"].shape[1],
        "history_length": recommender.settings.model.history_length,
        "reads_times": times is not None,
        "spread": _spread(recommender),
        "probe": {"history": probe, "weights": [float(weight) for weight in weights]},
    }
