"""Reads a log of interactions, in whatever format it comes, into one Ibis table."""

import csv
import glob
import gzip
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
import pyarrow as pa

from tfrs_timirec.config import DataSettings
from tfrs_timirec.data import values
from tfrs_timirec.data.engines import Engine
from tfrs_timirec.data.engines.duck import DuckDB
from tfrs_timirec.data.layouts import LAYOUTS, TextLayout
from tfrs_timirec.data.tables import check_ids, column_names, read_table
from tfrs_timirec.errors import UserError

_ENDINGS = {
    ".csv": "csv",
    ".csv.gz": "csv",
    ".tsv": "tsv",
    ".tsv.gz": "tsv",
    ".parquet": "parquet",
    ".dat": "movielens",
    ".inter": "inter",
    ".txt": "sequences",
}
# A sequence's line takes one of these many positions; its steps lie between.
_STEPS = 2**32


def find_files(source: str) -> list[Path]:
    """Finds the files of a log.

    Args:
        source: A path, or a glob of several files that make up one log.

    Returns:
        The files, sorted by name.

    Raises:
        UserError: There is none, or one is no regular file or has a name that is not in UTF-8.
    """
    if Path(source).is_dir():
        raise UserError(f"{source} is a folder: give a file, or a glob such as {source}/*.csv.")
    paths = [Path(source)]
    if not paths[0].exists():
        paths = [path for path in map(Path, glob.glob(source, recursive=True)) if path.is_file()]
    if not paths:
        raise UserError(f"No file is at {source}: set data.source to a file, a glob or a name.")
    for path in paths:
        if not path.is_file():
            # A pipe or a device may never end, and cannot be read twice.
            raise UserError(f"{path} is no regular file: copy its content into one.")
        try:
            str(path).encode()
        except UnicodeEncodeError:
            raise UserError(
                f"The file name {str(path)!a} is not in UTF-8: rename the file."
            ) from None
    return sorted(paths)


def read_log(
    paths: Sequence[Path],
    settings: DataSettings,
    engine: Engine,
    layout: TextLayout | None = None,
) -> ir.Table:
    """Reads the files as one log.

    Args:
        paths: The files; rows of an earlier one come first.
        settings: The format and the columns' names.
        engine: What reads them.
        layout: How the rows are written, for files that say nothing about it themselves.

    Returns:
        A row per interaction: `user` and `item` (int64 if all are integers, else string), `time`
        (int64 or float64 seconds, or the log's own unit; absent from sequences and where
        `time_column` is null), `rating` (float64; present with `min_rating` and
        `rating_column`) and `position` (int64, the order in the files).

    Raises:
        UserError: A file, column or value is missing or unreadable.
    """
    log_format = "text" if layout else _format(paths, settings)

    def read(parallel: bool) -> ir.Table:
        if log_format == "sequences":
            raw = _read_sequences(paths, engine)
        else:
            if log_format == "parquet":
                table = engine.read_parquet(paths)
                header = [name for name in table.columns if not name.startswith("__")]
                columns = {name: name for name in header}
            else:
                written = layout or LAYOUTS[log_format]
                header = written.columns or _shared_header(paths, written)
                # The log's own names could clash (DuckDB's have no case): it gets numbered ones.
                numbered = [f"c{i}" for i in range(len(header))]
                table = engine.read_text(paths, written, numbered, parallel)
                typed = log_format == "inter"
                header = [name.split(":")[0] if typed else name for name in header]
                columns = dict(zip(header, numbered, strict=True))
            wanted = _wanted(header, paths[0], settings)
            raw = engine.numbered(table, {role: columns[name] for role, name in wanted.items()})
        ids = _ids if log_format == "parquet" else _written_ids
        return _typed(raw, ids, paths, settings, engine)

    try:
        try:
            return read(parallel=True)
        except engine.errors as error:
            # DuckDB's parallel reader refuses line breaks within quotes; the other is slower.
            if "quoted new lines" not in str(error):
                raise
            return read(parallel=False)
    except engine.errors as error:
        file, line, reason = engine.unreadable(error)
        raise UserError(
            f"{f'Line {line} of ' if line else ''}{file or paths[0]} cannot be read as "
            f"{log_format} ({reason}): correct the file or set data.format."
        ) from error


def read_log_table(table: Any, settings: DataSettings, engine: DuckDB) -> ir.Table:
    """Reads a table as a log.

    Args:
        table: A pandas, Polars (eager or lazy), PyArrow, DuckDB or Ibis table.
        settings: The columns' names.
        engine: What reads it: tables are in this process.

    Returns:
        What `read_log` gives, except that strings are kept as strings where all are integers;
        `position` is the order in the table.

    Raises:
        UserError: A column or value is missing or unreadable.
    """
    wanted = _wanted(column_names(table), "The table", settings)
    columns = read_table(table, set(wanted.values()))
    for role in ("user", "item"):
        check_ids(columns[wanted[role]], f"The column {wanted[role]} of the table")
    chosen = {role: _for_duckdb(columns[name]) for role, name in wanted.items()}
    try:
        raw = engine.registered(pa.table(chosen))
        return _typed(raw, _ids, ["The table"], settings, engine)
    except engine.errors as error:
        reason = str(error).splitlines()[0].strip(". ")
        raise UserError(f"The table cannot be read ({reason}): correct it.") from error


def _for_duckdb(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """In a type that Ibis knows of: it has none for nothing but nulls, and no zoned nanoseconds."""
    if pa.types.is_null(column.type):
        return column.cast(pa.string())
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        # Unsafe only in that it rounds.
        return column.cast(pa.timestamp("us", column.type.tz), safe=False)
    return column


def _format(paths: Sequence[Path], settings: DataSettings) -> str:
    if settings.format != "auto":
        return settings.format
    formats = {}
    for path in paths:
        suffixes = path.suffixes[-2:] if path.suffix == ".gz" else path.suffixes[-1:]
        formats[_ENDINGS.get("".join(suffixes).lower())] = path
    if None in formats:
        raise UserError(
            f"The format of {formats[None]} does not show in its ending: set data.format, or end "
            f"it in one of {' '.join(_ENDINGS)}."
        )
    if len(formats) > 1:
        raise UserError(
            f"{' and '.join(map(str, formats.values()))} have different formats: give files of "
            "one format, or set data.format."
        )
    return formats.popitem()[0]


def _shared_header(paths: Sequence[Path], layout: TextLayout) -> list[str]:
    names = _header(paths[0], layout)
    for path in paths[1:]:
        if (others := _header(path, layout)) != names:
            raise UserError(
                f"{path} has the columns {', '.join(others)} but {paths[0]} has "
                f"{', '.join(names)}: give all files the same columns in the same order."
            )
    return names


def _header(path: Path, layout: TextLayout) -> list[str]:
    opened = gzip.open if path.suffix == ".gz" else open
    quoting = csv.QUOTE_MINIMAL if layout.quote else csv.QUOTE_NONE
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            names = next(csv.reader(file, delimiter=layout.delimiter, quoting=quoting), [])
    except (OSError, EOFError, UnicodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read ({error}): check the file.") from error
    if not names:
        raise UserError(f"{path} is empty or starts with an empty line: give it a header line.")
    return names


def _read_sequences(paths: Sequence[Path], engine: Engine) -> ir.Table:
    lines = engine.numbered(engine.read_lines(paths), {"line": "line"})
    lines = lines.mutate(line=lines.line.strip())
    words = lines.line.re_split(r"[ \t\n\r\f]+")
    lonely = (lines.line != "") & (words.length() == 1)
    if bad := _first(lines, lonely):
        raise UserError(
            f"Line {bad['row']} of {bad['__file']} has the user {bad['line']} but no item: add "
            "the items or delete the line."
        )
    steps = lines.select("__file", "position", user=words[0], item=words[1:])
    steps = steps.unnest("item", offset="step", keep_empty=False)
    return steps.select("user", "item", "__file", position=steps.position * _STEPS + steps.step)


def _wanted(columns: Sequence[str], log: Path | str, settings: DataSettings) -> dict[str, str]:
    """The column of each role that the log must have."""
    wanted = {"user": settings.user_column, "item": settings.item_column}
    if settings.time_column is not None:
        wanted["time"] = settings.time_column
    if settings.min_rating is not None and settings.rating_column is not None:
        wanted["rating"] = settings.rating_column
    for role, name in wanted.items():
        if name not in columns:
            argument = "" if role == "rating" else f" (fit's {role})"
            raise UserError(
                f"{log} has no column {name}: set data.{role}_column{argument} to one of "
                f"{', '.join(columns)}."
            )
        if columns.count(name) > 1:
            raise UserError(
                f"{log} has several columns {name}: rename all but one, or set data.{role}_column "
                "to another."
            )
    return wanted


def _typed(
    raw: ir.Table,
    ids: Callable[[ir.Column], list[ir.Column]],
    logs: Sequence[Path | str],
    settings: DataSettings,
    engine: Engine,
) -> ir.Table:
    """Gives each column its type, once all of its values are known to be readable."""
    # In each role, the ways to read its column, null where a value cannot be read so.
    ways = {"user": ids, "item": ids, "time": partial(_times, engine=engine), "rating": _numbers}
    readings = {role: read(raw[role]) for role, read in ways.items() if role in raw.columns}
    found = _counted(raw, {role: {0: choices[0]} for role, choices in readings.items()})
    if not found["rows"]:
        raise UserError(
            f"{' and '.join(map(str, logs))} holds no interactions: give a log with at least one."
        )
    # Mostly the first one understands everything.
    others = {
        role: dict(enumerate(choices[1:], 1))
        for role, choices in readings.items()
        if found[f"{role}0"] < found["rows"] and len(choices) > 1
    }
    if others:
        found |= _counted(raw, others)
    log = {}
    for role, choices in readings.items():
        # The first of the readings that understand the most values.
        best = max(range(len(choices)), key=lambda i, role=role: found.get(f"{role}{i}", 0))
        log[role] = choices[best]
        if found[f"{role}{best}"] < found["rows"]:
            bad = _first(raw, choices[best].isnull())
            # In a text file, an empty value is null.
            null = "" if ids is _written_ids else None
            value = null if bad[role] is None else bad[role]
            as_in = ", or write the time as 2024-05-31 10:00:00 or as a number" * (role == "time")
            raise UserError(
                f"Row {bad['row']} of {bad['__file']} has no readable {role} in the column "
                f"{getattr(settings, f'{role}_column')} but {value!r}: correct or delete the row"
                f"{as_in}."
            )
    return raw.select(**log, position=raw.position)


def _counted(raw: ir.Table, readings: dict[str, dict[int, ir.Column]]) -> dict[str, int]:
    """How many values each reading of a role understands, and `rows`."""
    counts = {
        f"{role}{i}": reading.count()
        for role, choices in readings.items()
        for i, reading in choices.items()
    }
    return raw.aggregate(rows=raw.count(), **counts).to_pyarrow().to_pylist()[0]


def _ids(column: ir.Column) -> list[ir.Column]:
    if column.type().is_integer():
        return [column.try_cast("int64")]
    return [values.not_blank(column.cast("string"))]


def _written_ids(column: ir.StringColumn) -> list[ir.Column]:
    """As integers, where no character of any gets lost (007 is not 7), or as text."""
    return [values.whole_number(column), *_ids(column)]


def _times(column: ir.Column, engine: Engine) -> list[ir.Column]:
    """As numbers or, unless they are numbers in the file, as dates: seconds since 1970."""
    if column.type().is_numeric():
        return _numbers(column)
    is_text = column.type().is_string()
    dates = values.date(column) if is_text else column.try_cast("timestamp('UTC')")
    seconds = [values.within(engine.microseconds(dates) / 1e6)]
    return [*_numbers(column), *seconds] if is_text else seconds


def _numbers(column: ir.Column) -> list[ir.Column]:
    """As whole numbers where all are, so that large ones stay exact, or as floats."""
    if column.type().is_integer():
        return [column.cast("int64")]
    if column.type().is_string():
        return [values.whole_number(column), values.number(column)]
    return [values.within(column.try_cast("float64"))]


def _first(table: ir.Table, condition: ir.BooleanColumn) -> dict | None:
    """The first row where the condition holds, as text, with its number in its file as `row`."""
    first = table.filter(condition).order_by("position").limit(1)
    # DuckDB has types that neither Ibis nor Arrow can take.
    values = {name: first[name].cast("string") for name in first.columns if name != "position"}
    rows = first.mutate(**values).to_pyarrow().to_pylist()
    if not rows:
        return None
    before = (table["__file"] == rows[0]["__file"]) & (table.position <= rows[0]["position"])
    return rows[0] | {"row": table.filter(before).count().to_pyarrow().as_py()}
