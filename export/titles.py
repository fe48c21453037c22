"""Item titles from a file of metadata."""

from pathlib import Path

import duckdb
import pyarrow as pa

from export.settings import ExportSettings
from tfrs_timirec.errors import UserError


def read_titles(settings: ExportSettings, item_ids: pa.Array) -> list[str] | None:
    """The title of each item of the catalogue; "" for items that the file does not have.

    Args:
        settings: The file and its columns; typed headers (`title:token_seq`) are named without
            their type.
        item_ids: The catalogue's ids, index 1 first.

    Returns:
        A title an item, or None without a file.

    Raises:
        UserError: If the file cannot be read or lacks a column.
    """
    if settings.titles is None:
        return None
    path = Path(settings.titles)
    try:
        relation = (
            duckdb.read_parquet(str(path))
            if path.suffix == ".parquet"
            else duckdb.read_csv(str(path), all_varchar=True, header=True)
        )
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"The titles {path} cannot be read: {reason}") from None
    names = {column.split(":")[0]: column for column in relation.columns}
    for column in (settings.titles_id_column, settings.titles_column):
        if column not in names:
            raise UserError(
                f"The titles {path} have no column {column}; they have {', '.join(names)}."
            )
    columns = [names[settings.titles_id_column], names[settings.titles_column]]
    rows = relation.select(*(duckdb.ColumnExpression(c).cast("VARCHAR") for c in columns))
    titles = dict(rows.fetchall())
    return [titles.get(str(item)) or "" for item in item_ids.to_pylist()]
