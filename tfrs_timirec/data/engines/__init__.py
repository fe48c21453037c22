"""What reads and sorts a log: DuckDB within this process, or Spark."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import ibis.expr.types as ir

from tfrs_timirec.config import DataSettings
from tfrs_timirec.data.layouts import TextLayout


class Engine(Protocol):
    """What an engine does in a way of its own; all else are Ibis expressions.

    Attributes:
        errors: What it raises for files that it cannot read.
    """

    errors: tuple[type[Exception], ...]

    def read_text(
        self, paths: Sequence[Path], layout: TextLayout, columns: Sequence[str], parallel: bool
    ) -> ir.Table:
        """The rows of text files, all as strings, empty ones null.

        Args:
            paths: The files; rows of an earlier one come first.
            layout: How the rows are written.
            columns: What the columns are to be called.
            parallel: Whether a file may be read at several places at once, where a line break
                within quotes cannot be told; it raises then.
        """

    def read_lines(self, paths: Sequence[Path]) -> ir.Table:
        """The lines of text files, in the column `line`."""

    def read_parquet(self, paths: Sequence[Path]) -> ir.Table:
        """The rows of Parquet files."""

    def numbered(self, table: ir.Table, columns: Mapping[str, str]) -> ir.Table:
        """Some columns of what was read, and where each row was.

        Args:
            table: What `read_text`, `read_lines` or `read_parquet` gave.
            columns: New name → name.

        Returns:
            The columns under their new names, `__file`, the path, and `position`, int64, the number
            of the row, counted from 0 through all files.
        """

    def unreadable(self, error: Exception) -> tuple[str | None, str | None, str]:
        """Where and why a file could not be read: its path, the number of a line, the reason."""

    def microseconds(self, time: ir.TimestampValue) -> ir.IntegerValue:
        """int64 since 1970."""

    def materialise(self, table: ir.Table) -> ir.Table:
        """The same rows, computed once."""

    def write_shards(
        self,
        table: ir.Table,
        order: Sequence[str],
        columns: Mapping[str, str],
        shards: Mapping[int, Path],
    ) -> None:
        """Writes rows as Parquet files.

        Args:
            table: With a column `shard`, int64.
            order: The columns by which the rows of a file are sorted.
            columns: Name in the file → name in the table.
            shards: The file of each shard that there is.
        """


def start(settings: DataSettings, folder: Path, setting: str) -> AbstractContextManager[Engine]:
    """Starts the engine that the settings choose, for as long as the block lasts.

    Args:
        settings: The engine, and the master of Spark.
        folder: Where it keeps what is too large for memory.
        setting: What sets the folder, for an error.

    Raises:
        UserError: It cannot be started, or the folder cannot be written to.
    """
    if settings.engine == "spark":
        from tfrs_timirec.data.engines import spark

        return spark.prepares(settings.master, folder)
    from tfrs_timirec.data.engines import duck

    return duck.start(folder, setting)
