"""Item titles and categories from a file of metadata."""

from pathlib import Path

import duckdb
import pyarrow as pa

from tfrs_timirec.errors import UserError
from tfrs_timirec.export.settings import ExportSettings


def read_metadata(settings: ExportSettings, column: str, item_ids: pa.Array) -> list[str] | None:
    """What a column of the metadata says of each item of the catalogue.

    Args:
        settings: The file and its column of ids; typed headers (`title:token_seq`) are named
            without their type.
        column: Which column.
        item_ids: The catalogue's ids, index 1 first.

    Returns:
        One text per item, "" for items that the file does not have; None without a file.

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
    names = {name.split(":")[0]: name for name in relation.columns}
    for name in (settings.titles_id_column, column):
        if name not in names:
            raise UserError(
                f"The titles {path} have no column {name}; they have {', '.join(names)}."
            )
    columns = [names[settings.titles_id_column], names[column]]
    rows = relation.select(*(duckdb.ColumnExpression(c).cast("VARCHAR") for c in columns))
    texts = dict(rows.fetchall())
    return [texts.get(str(item)) or "" for item in item_ids.to_pylist()]
