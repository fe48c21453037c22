"""Reads a log of interactions, in whatever format it comes, into one Ibis table."""

import csv
import glob
import gzip
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa

from tfrs_timirec.config import DataSettings
from tfrs_timirec.data.tables import check_ids, column_names, read_table
from tfrs_timirec.errors import UserError


@dataclass(frozen=True)
class TextLayout:
    """How rows are written in a text file.

    Args:
        delimiter: What stands between two values.
        columns: The columns' names; None where the first line has them.
        quote: What encloses a value that has the delimiter in it; empty for none.
        encoding: The name that DuckDB has for it.
    """

    delimiter: str
    columns: tuple[str, ...] | None = None
    quote: str = '"'
    encoding: str = "utf-8"


RATINGS = ("user_id", "item_id", "rating", "timestamp")

_LAYOUTS = {
    "csv": TextLayout(","),
    "tsv": TextLayout("\t"),
    "inter": TextLayout("\t", quote=""),
    "movielens": TextLayout("::", RATINGS, quote="", encoding="latin-1"),
}
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
    connection: ibis.BaseBackend,
    layout: TextLayout | None = None,
) -> ir.Table:
    """Reads the files as one log, with DuckDB.

    Args:
        paths: The files; rows of an earlier one come first.
        settings: The format and the columns' names.
        connection: An Ibis connection to DuckDB.
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
    # DuckDB takes a name for a glob.
    names = [glob.escape(str(path)) for path in paths]
    # Dates without a zone are taken as UTC, whatever the machine's own.
    connection.raw_sql("SET TimeZone = 'UTC'")

    def read(parallel: bool) -> ir.Table:
        if log_format == "sequences":
            raw = _read_sequences(names, connection)
        else:
            if log_format == "parquet":
                table = connection.read_parquet(names, filename="__file")
                columns = {name: name for name in table.columns if name != "__file"}
            else:
                written = layout or _LAYOUTS[log_format]
                header = written.columns or _shared_header(paths, written)
                # The log's own names could clash (DuckDB's have no case): it gets numbered ones.
                numbered = [f"c{i}" for i in range(len(header))]
                table = _read_text(names, written, numbered, connection, parallel)
                typed = log_format == "inter"
                header = [name.split(":")[0] if typed else name for name in header]
                columns = dict(zip(header, numbered, strict=True))
            wanted = _wanted(columns, paths[0], settings)
            raw = _numbered(
                table, {role: columns[name] for role, name in wanted.items()}, table["__file"]
            )
        ids = _ids if log_format == "parquet" else _written_ids
        return _typed(raw, ids, paths, settings)

    try:
        try:
            return read(parallel=True)
        except duckdb.Error as error:
            # Its parallel reader refuses line breaks within quotes; the other is slower.
            if "quoted new lines" not in str(error):
                raise
            return read(parallel=False)
    except duckdb.Error as error:
        raise _unreadable(error, paths, log_format) from error


def read_log_table(table: Any, settings: DataSettings, connection: ibis.BaseBackend) -> ir.Table:
    """Reads a table as a log, with DuckDB.

    Args:
        table: A pandas, Polars (eager or lazy), PyArrow, DuckDB or Ibis table.
        settings: The columns' names.
        connection: An Ibis connection to DuckDB.

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
    connection.raw_sql("SET TimeZone = 'UTC'")
    try:
        # Not a memtable, which Ibis would copy.
        connection.con.register("log", pa.table(chosen))
        raw = _numbered(
            connection.table("log"), {role: role for role in chosen}, ibis.literal("the table")
        )
        return _typed(raw, _ids, ["The table"], settings)
    except duckdb.Error as error:
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


def _read_text(
    names: list[str],
    layout: TextLayout,
    columns: list[str],
    connection: ibis.BaseBackend,
    parallel: bool = True,
) -> ir.Table:
    return connection.read_csv(
        names,
        columns=dict.fromkeys(columns, "VARCHAR"),
        header=layout.columns is None,
        delim=layout.delimiter,
        quote=layout.quote,
        escape=layout.quote,
        encoding=layout.encoding,
        null_padding=True,
        parallel=parallel,
        filename="__file",
    )


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


def _read_sequences(names: list[str], connection: ibis.BaseBackend) -> ir.Table:
    # With a separator that no text has, a whole line is one value.
    whole = TextLayout("\x1f", ("line",), quote="")
    lines = _read_text(names, whole, ["line"], connection)
    lines = lines.mutate(position=ibis.row_number(), line=lines.line.strip())
    words = lines.line.re_split(r"\s+")
    lonely = (lines.line != "") & (words.length() == 1)
    if bad := _first(lines, lonely):
        raise UserError(
            f"Line {bad['row']} of {bad['__file']} has the user {bad['line']} but no item: add "
            "the items or delete the line."
        )
    steps = lines.select("__file", "position", user=words[0], item=words[1:])
    steps = steps.unnest("item", offset="step", keep_empty=False)
    return steps.select("user", "item", "__file", position=steps.position * _STEPS + steps.step)


def _wanted(columns: Iterable[str], log: Path | str, settings: DataSettings) -> dict[str, str]:
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
    return wanted


def _numbered(table: ir.Table, columns: dict[str, str], file: ir.StringValue) -> ir.Table:
    """The column of each role, the file, and the position in the log."""
    chosen = {role: table[name] for role, name in columns.items()}
    return table.select(**chosen, __file=file, position=ibis.row_number())


def _typed(
    raw: ir.Table,
    ids: Callable[[ir.Column], list[ir.Column]],
    logs: Sequence[Path | str],
    settings: DataSettings,
) -> ir.Table:
    """Gives each column its type, once all of its values are known to be readable."""
    # In each role, the ways to read its column, null where a value cannot be read so.
    ways = {"user": ids, "item": ids, "time": _times, "rating": _numbers}
    readings = {role: read(raw[role]) for role, read in ways.items() if role in raw.columns}
    counts = {
        f"{role}{i}": reading.count()
        for role, choices in readings.items()
        for i, reading in enumerate(choices)
    }
    found = raw.aggregate(rows=raw.count(), **counts).to_pyarrow().to_pylist()[0]
    if not found["rows"]:
        raise UserError(
            f"{' and '.join(map(str, logs))} holds no interactions: give a log with at least one."
        )
    log = {}
    for role, choices in readings.items():
        # The first of the readings that understand the most values.
        best = max(range(len(choices)), key=lambda i, role=role: found[f"{role}{i}"])
        log[role] = choices[best]
        if found[f"{role}{best}"] < found["rows"]:
            bad = _first(raw, choices[best].isnull())
            # In a text file, an empty value is null.
            null = "" if ids is _written_ids else None
            value = null if bad[role] is None else bad[role]
            raise UserError(
                f"Row {bad['row']} of {bad['__file']} has no readable {role} in the column "
                f"{getattr(settings, f'{role}_column')} but {value!r}: correct or delete the row."
            )
    return raw.select(**log, position=raw.position)


def _ids(column: ir.Column) -> list[ir.Column]:
    if column.type().is_integer():
        return [column.try_cast("int64")]
    text = column.cast("string")
    return [(text.strip() != "").ifelse(text, None)]


def _written_ids(column: ir.StringColumn) -> list[ir.Column]:
    """As integers, where no character of any gets lost (007 is not 7), or as text."""
    return [_whole(column), *_ids(column)]


def _times(column: ir.Column) -> list[ir.Column]:
    """As numbers or, unless they are numbers in the file, as dates: seconds since 1970."""
    if column.type().is_numeric():
        return _numbers(column)
    dates = column.try_cast("timestamp('UTC')").epoch_seconds().cast("float64")
    dates = _finite(dates)
    return [*_numbers(column), dates] if column.type().is_string() else [dates]


def _numbers(column: ir.Column) -> list[ir.Column]:
    """As whole numbers where all are, so that large ones stay exact, or as floats."""
    if column.type().is_integer():
        return [column.cast("int64")]
    numbers = [_finite(column.try_cast("float64"))]
    return [_whole(column), *numbers] if column.type().is_string() else numbers


def _finite(number: ir.FloatingColumn) -> ir.FloatingColumn:
    # Within int64, in which times end up; no bound holds for NaN.
    return number.between(-(2.0**62), 2.0**62).ifelse(number, None)


def _whole(text: ir.StringColumn) -> ir.IntegerColumn:
    number = text.try_cast("int64")
    return (number.cast("string") == text).ifelse(number, None)


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


def _unreadable(error: duckdb.Error, paths: Sequence[Path], log_format: str) -> UserError:
    message = str(error)
    file = re.search(r"^\s*file = (.+)$", message, re.MULTILINE)
    line = re.search(r"on Line: (\d+)", message)
    reason = re.search(r"Expected Number of Columns: \d+ Found: \d+", message)
    return UserError(
        f"{f'Line {line[1]} of ' if line else ''}{file[1] if file else paths[0]} cannot be read "
        f"as {log_format} ({reason[0] if reason else message.splitlines()[0].strip('. ')}): "
        "correct the file or set data.format."
    )
