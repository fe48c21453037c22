"""Logs of interactions, and the sequences made from them."""

import glob
import hashlib
import json
import logging
import re
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tfrs_timirec.config import DataSettings
from tfrs_timirec.data.store import SequenceStore
from tfrs_timirec.errors import UserError
from tfrs_timirec.files import locked, remove_left, restore, scratch, write_folder

__all__ = ["SequenceStore", "load", "summary"]

_logger = logging.getLogger(__name__)

# Raised when what is kept, or how it is made, changes, so that older sequences are made anew.
_VERSION = 5


def load(settings: DataSettings, seed: int, table: Any = None) -> SequenceStore:
    """Gets the sequences of a log, prepared only if the log or the settings changed.

    Args:
        settings: Which log, and how it becomes sequences.
        seed: What synthetic data depends on.
        table: The log itself, instead of `settings.source`: a pandas, Polars (eager or lazy),
            PyArrow, DuckDB or Ibis table. Its sequences are prepared each time and kept nowhere.

    Returns:
        The sequences.

    Raises:
        UserError: The log cannot be got, read or prepared, or the kept sequences are damaged.
    """
    if table is None and settings.source == "synthetic":
        from tfrs_timirec.data.synthetic import generate

        return generate(seed)

    # Ibis and DuckDB take a second to import, which synthetic data need not wait for.
    from tfrs_timirec.data.engines import duck, start
    from tfrs_timirec.data.preparation import prepare
    from tfrs_timirec.data.readers import find_files, read_log, read_log_table
    from tfrs_timirec.data.sources import SOURCES, fetch

    if table is not None:
        folder = Path(tempfile.gettempdir())
        with duck.start(folder, "TMPDIR") as engine, scratch(folder, "tfrs_timirec") as written:
            prepare(read_log_table(table, settings, engine), settings, engine, written, "a table")
            return SequenceStore.load(written)

    folder = Path(settings.folder)
    layout = None
    if settings.source in SOURCES:
        paths = [fetch(settings.source, folder)]
        layout = SOURCES[settings.source].layout
        settings = replace(
            settings,
            user_column="user_id",
            item_column="item_id",
            time_column="timestamp",
            rating_column="rating",
        )
    else:
        paths = find_files(settings.source)

    fingerprint = _fingerprint(settings, paths)
    name = re.sub(r"\W+", "-", Path(settings.source).name).strip("-") or "log"
    prepared = folder / "prepared" / f"{name}-{fingerprint[:16]}"
    for left in (prepared, prepared.with_name(name)):
        restore(left)
    for engine in ("duckdb", "spark"):
        # A process may have been killed when all was prepared.
        remove_left(folder, f".{engine}")
    if not prepared.exists():
        with (
            duck.writing(folder, "data.folder"),
            locked(prepared.with_name(name), wait=True),
        ):
            # What was killed may have been made from another state of the log.
            for left in prepared.parent.glob(f".{glob.escape(name)}-{'?' * 16}.part"):
                restore(left.with_name(left.name.removeprefix(".").removesuffix(".part")))
            if not prepared.exists():
                _logger.info("Preparing %s into %s", ", ".join(map(str, paths)), prepared)
                with start(settings, folder, "data.folder") as engine:
                    log = read_log(paths, settings, engine, layout)
                    try:
                        write_folder(
                            prepared,
                            lambda written: prepare(log, settings, engine, written, fingerprint),
                        )
                    except duck.DISK:
                        raise
                    except engine.errors as error:
                        raise UserError(
                            f"{prepared} cannot be prepared ({engine.unreadable(error)[2]}): "
                            "correct that, and give the same command again."
                        ) from error
                return SequenceStore.load(prepared)
    _logger.info("Using the sequences in %s", prepared)
    return SequenceStore.load(prepared)


def summary(store: SequenceStore, settings: DataSettings) -> str:
    """A sentence or two on what a log held and what is left of it.

    Args:
        store: The sequences.
        settings: How they were prepared.
    """
    kept = len(store.items), store.num_users, store.num_items
    read = store.read
    if read is None or read[:3] == kept:
        return f"The log has {_amounts(*kept)}."
    dropped = []
    if read.rated < read.interactions:
        dropped.append(
            f"data.min_rating ({settings.min_rating:g}) drops {read.interactions - read.rated:,} "
            "interactions"
        )
    if read.rated > kept[0]:
        dropped.append(f"data.core ({settings.core}) drops {read.rated - kept[0]:,}")
    return f"Read {_amounts(*read[:3])}; {' and '.join(dropped)}. Kept {_amounts(*kept)}."


def _amounts(interactions: int, users: int, items: int) -> str:
    return f"{interactions:,} interactions of {users:,} users with {items:,} items"


def _fingerprint(settings: DataSettings, paths: list[Path]) -> str:
    """Tells apart logs and settings; a file is known by its path, size and time of change."""
    made_of = asdict(settings)
    # What comes after the sequences, or where they are kept, does not change them.
    for name in (
        *("source", "folder", "engine", "master", "split", "validation_from", "test_from"),
    ):
        del made_of[name]
    stats = [(str(path.resolve()), path.stat()) for path in paths]
    made_of["files"] = [(path, stat.st_size, stat.st_mtime_ns) for path, stat in stats]
    made_of["version"] = _VERSION
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
