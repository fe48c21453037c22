"""Item titles and categories from a file of metadata."""

import glob
import gzip
from pathlib import Path
from typing import Protocol

import duckdb
import pyarrow as pa

from tfrs_timirec.errors import UserError


class Metadata(Protocol):
    """Settings that name a file of metadata, and its column of ids."""

    titles: str | None
    titles_id_column: str


class Categories(Metadata, Protocol):
    """Settings that also name its column of categories."""

    categories_column: str | None


def read_metadata(settings: Metadata, column: str, item_ids: pa.Array) -> list[str] | None:
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
    return None if settings.titles is None else _read(settings, column, item_ids)[0]


def read_categories(settings: Categories, item_ids: pa.Array) -> list[list[str]] | None:
    """The categories of each item of the catalogue, of which it may have several.

    They stand between bars (`Comedy|Drama`) or, in a column with the typed header `token_seq`,
    between spaces.

    Args:
        settings: The file and its columns of ids and of categories.
        item_ids: The catalogue's ids, index 1 first.

    Returns:
        An item each; None without a column of categories.

    Raises:
        UserError: If the file cannot be read or lacks a column.
    """
    if settings.titles is None or settings.categories_column is None:
        return None
    texts, header = _read(settings, settings.categories_column, item_ids)
    spaced = header.endswith(":token_seq")
    parts = [text.split() if spaced else text.split("|") for text in texts]
    return [list(dict.fromkeys(part.strip() for part in of if part.strip())) for of in parts]


def _read(settings: Metadata, column: str, item_ids: pa.Array) -> tuple[list[str], str]:
    """The texts of a column, and how the file has it in its header."""
    path = Path(settings.titles)
    try:
        relation = _rows(path)
        names = {name.split(":")[0]: name for name in relation.columns}
        for name in (settings.titles_id_column, column):
            if name not in names:
                raise UserError(
                    f"The titles {settings.titles} have no column {name}; they have "
                    f"{', '.join(names)}."
                )
        columns = [names[settings.titles_id_column], names[column]]
        rows = relation.select(*(duckdb.ColumnExpression(c).cast("VARCHAR") for c in columns))
        known, texts = {str(item) for item in item_ids.to_pylist()}, {}
        for item, text in rows.fetchall():
            if item in known and texts.get(item, text) != text:
                raise UserError(
                    f"The titles {settings.titles} have several rows of the item {item}: give each "
                    "item one, with its categories as in Comedy|Drama."
                )
            texts[item] = text
    except (duckdb.Error, OSError, EOFError) as error:
        told = str(error).splitlines()[0].rstrip(".")
        raise UserError(f"The titles {settings.titles} cannot be read: {told}.") from None
    return [texts.get(str(item)) or "" for item in item_ids.to_pylist()], names[column]


def _rows(path: Path) -> duckdb.DuckDBPyRelation:
    # DuckDB takes a name for a glob.
    name = glob.escape(str(path))
    if path.suffix == ".parquet":
        return duckdb.read_parquet(name)
    if path.suffix != ".dat":
        # Bars between categories, as many in every row, would be taken for the delimiter.
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8", errors="replace") as file:
            header = next((line for line in file if line.strip()), None)
        if header is None:
            raise UserError(f"The titles {path} are empty: give a line of names and rows of items.")
        delimiter = "\t" if "\t" in header else None
        return duckdb.read_csv(name, all_varchar=True, header=True, delimiter=delimiter)
    try:
        path.read_text("utf-8")
        encoding = "utf-8"
    except UnicodeDecodeError:
        encoding = "latin-1"
    # The Python function of the same name takes UTF-8 alone.
    return duckdb.sql(
        "FROM read_csv(?, delim='::', quote='', encoding=?, all_varchar=true, header=false, "
        "names=['item_id', 'title', 'genres'])",
        params=[name, encoding],
    )
