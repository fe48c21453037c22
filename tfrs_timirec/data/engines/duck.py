"""DuckDB, within this process."""

import glob
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from tfrs_timirec.data.layouts import TextLayout
from tfrs_timirec.errors import UserError
from tfrs_timirec.files import scratch

# It spills to disk beyond this; a shard of the result, and what Python needs, come on top.
_MEMORY = "2GB"
# A separator that no text has: a whole line is one value.
_LINES = TextLayout("\x1f", ("line",), quote="")


@contextmanager
def start(folder: Path, setting: str) -> Iterator["DuckDB"]:
    """Opens a connection that spills into a folder.

    Args:
        folder: Made if it is not there.
        setting: What sets it, for an error.

    Raises:
        UserError: The folder cannot be written to.
    """
    with writing(folder, setting), scratch(folder, ".duckdb") as spill:
        connection = ibis.duckdb.connect(memory_limit=_MEMORY, temp_directory=str(spill))
        try:
            # It would print to standard output, which belongs to the commands. In Jupyter without
            # ipywidgets DuckDB shows no bar, and refuses to be told so.
            with suppress(duckdb.InvalidInputException):
                connection.raw_sql("SET enable_progress_bar = false")
            yield DuckDB(connection)
        finally:
            connection.disconnect()


# What a full disk or an absent folder raises.
DISK = (OSError, duckdb.IOException, duckdb.OutOfMemoryException)


@contextmanager
def writing(folder: Path, setting: str) -> Iterator[None]:
    """Makes a folder; errors of the disk name what sets it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except DISK as error:
        raise UserError(
            f"{folder.resolve()} cannot be written to ({str(error).splitlines()[0]}): set "
            f"{setting} to a folder that can, with free space for the log."
        ) from error


@ibis.udf.scalar.builtin(name="epoch_us", signature=(("timestamp('UTC')",), "int64"))
def _microseconds(time):
    """Of DuckDB."""


class DuckDB:
    """An `Engine`.

    Args:
        connection: An Ibis connection to DuckDB.
    """

    errors = (duckdb.Error,)

    def __init__(self, connection: ibis.BaseBackend):
        self._connection = connection
        # Dates without a zone are taken as UTC, whatever the machine's own.
        connection.raw_sql("SET TimeZone = 'UTC'")

    def registered(self, table: pa.Table) -> ir.Table:
        """A table of this process, numbered like a file."""
        # Not a memtable, which Ibis would copy.
        self._connection.con.register("log", table)
        log = self._connection.table("log")
        return log.mutate(__file=ibis.literal("the table"), position=ibis.row_number())

    def read_text(
        self, paths: Sequence[Path], layout: TextLayout, columns: Sequence[str], parallel: bool
    ) -> ir.Table:
        return self._connection.read_csv(
            _names(paths),
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

    def read_lines(self, paths: Sequence[Path]) -> ir.Table:
        return self.read_text(paths, _LINES, ["line"], parallel=True)

    def read_parquet(self, paths: Sequence[Path]) -> ir.Table:
        return self._connection.read_parquet(_names(paths), filename="__file")

    def numbered(self, table: ir.Table, columns: Mapping[str, str]) -> ir.Table:
        chosen = {name: table[column] for name, column in columns.items()}
        return table.select(**chosen, __file=table["__file"], position=ibis.row_number())

    def unreadable(self, error: Exception) -> tuple[str | None, str | None, str]:
        message = str(error)
        file = re.search(r"^\s*file = (.+)$", message, re.MULTILINE)
        line = re.search(r"on Line: (\d+)", message)
        reason = re.search(r"Expected Number of Columns: \d+ Found: \d+", message)
        told = reason[0] if reason else message.splitlines()[0].strip(". ")
        return file and file[1], line and line[1], told

    def microseconds(self, time: ir.TimestampValue) -> ir.IntegerValue:
        return _microseconds(time)

    def materialise(self, table: ir.Table) -> ir.Table:
        # Not Table.cache(), which drops its table when Python happens to collect it: by then the
        # connection may be closed.
        return self._connection.create_table(ibis.util.gen_name("prepare"), table, temp=True)

    def write_shards(
        self,
        table: ir.Table,
        order: Sequence[str],
        columns: Mapping[str, str],
        shards: Mapping[int, Path],
    ) -> None:
        for shard, path in shards.items():
            rows = table.filter(table["shard"] == shard).order_by(order)
            chosen = rows.select(**{name: rows[column] for name, column in columns.items()})
            pq.write_table(chosen.to_pyarrow(), path, compression="zstd")


def _names(paths: Sequence[Path]) -> list[str]:
    # DuckDB takes a name for a glob.
    return [glob.escape(str(path)) for path in paths]
