"""Logs of interactions, and the sequences made from them."""

import hashlib
import json
import logging
import re
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

from tfrs_timirec.config import DataSettings
from tfrs_timirec.data.store import SequenceStore
from tfrs_timirec.errors import UserError

__all__ = ["SequenceStore", "load"]

_logger = logging.getLogger(__name__)

# Raised when what is kept, or how it is made, changes, so that older sequences are made anew.
_VERSION = 1
# DuckDB spills to disk beyond this; the result, and what Python needs, come on top.
_MEMORY = "2GB"


def load(settings: DataSettings, seed: int) -> SequenceStore:
    """Gets the sequences of a log, prepared only if the log or the settings changed.

    Args:
        settings: Which log, and how it becomes sequences.
        seed: What synthetic data hangs on.

    Returns:
        The sequences.

    Raises:
        UserError: The log cannot be got, read or prepared, or the kept sequences are damaged.
    """
    if settings.source == "synthetic":
        from tfrs_timirec.data.synthetic import generate

        return generate(seed)

    # Ibis and DuckDB take a second to import, which synthetic data need not wait for.
    import duckdb
    import ibis

    from tfrs_timirec.data.preparation import prepare
    from tfrs_timirec.data.readers import find_files, read_log
    from tfrs_timirec.data.sources import SOURCES, fetch

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
    name = re.sub(r"\W+", "-", Path(settings.source).name).strip("-")
    prepared = folder / "prepared" / f"{name}-{fingerprint[:16]}"
    if prepared.exists():
        _logger.info("Using the sequences in %s", prepared)
        return SequenceStore.load(prepared)
    _logger.info("Preparing %s into %s", ", ".join(map(str, paths)), prepared)
    try:
        prepared.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".duckdb-") as spill:
            connection = ibis.duckdb.connect(memory_limit=_MEMORY, temp_directory=spill)
            try:
                # It would print to standard output, which belongs to the commands.
                connection.raw_sql("SET enable_progress_bar = false")
                store = prepare(read_log(paths, settings, connection, layout), settings)
            finally:
                connection.disconnect()
        store.save(prepared, fingerprint)
    except (OSError, duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise UserError(
            f"{folder.resolve()} cannot be written to ({str(error).splitlines()[0]}): set "
            "data.folder to a folder that can, with free space for the log."
        ) from error
    return store


def _fingerprint(settings: DataSettings, paths: list[Path]) -> str:
    """Tells apart logs and settings; a file is known by its path, size and time of change."""
    made_of = asdict(settings)
    del made_of["source"], made_of["folder"]
    stats = [(str(path.resolve()), path.stat()) for path in paths]
    made_of["files"] = [(path, stat.st_size, stat.st_mtime_ns) for path, stat in stats]
    made_of["version"] = _VERSION
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
