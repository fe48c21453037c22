"""Tables of other libraries, to and from Arrow."""

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from numbers import Number
from typing import Any

import narwhals as nw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfrs_timirec.errors import UserError

_KINDS = {"pandas", "polars", "pyarrow", "duckdb", "ibis"}
# What Arrow raises for values that it cannot hold.
_ARROW_ERRORS = (pa.ArrowException, TypeError, ValueError, OverflowError)
# Values of one of these types may stand in one column; a datetime is a date too, so it is first.
_SORTS = (bool, Number, str, datetime, date)


def kind_of(value: Any) -> str | None:
    """Names the library that a table or series is of.

    Args:
        value: Anything.

    Returns:
        `pandas`, `polars`, `pyarrow`, `duckdb` or `ibis`; None for what is no table or series.

    Raises:
        UserError: It is a table of which two columns have one name.
    """
    wrapped = _wrapped(value)
    if isinstance(wrapped, nw.DataFrame | nw.LazyFrame | nw.Series):
        kind = wrapped.implementation.value
        return kind if kind in _KINDS else None
    return "pyarrow" if isinstance(value, pa.Array) else None


def column_names(table: Any) -> list[str]:
    """The names of a table's columns, without its rows being read.

    Args:
        table: A pandas, Polars (eager or lazy), PyArrow, DuckDB or Ibis table.

    Raises:
        UserError: It is no such table, or it cannot be read.
    """
    frame = _frame(table)
    try:
        return [name for name in frame.collect_schema().names() if isinstance(name, str)]
    except Exception as error:  # a lazy table raises whatever its library does
        raise _unreadable("The table", error) from error


def read_table(table: Any, columns: Collection[str] | None = None) -> pa.Table:
    """Reads a table of any kind into Arrow, in the order of its rows.

    Args:
        table: A pandas, Polars (eager or lazy), PyArrow, DuckDB or Ibis table.
        columns: The columns to read; None for all.

    Returns:
        The columns, not copied where the table's library keeps them as Arrow does; categorical
        values as what they stand for.

    Raises:
        UserError: It is no such table, or it cannot be read.
    """
    frame = _frame(table)
    try:
        if columns is not None:
            frame = frame.select(*columns)
        if isinstance(frame, nw.LazyFrame):
            frame = frame.collect()
        if frame.implementation.is_pandas():
            arrow = pa.table(
                {
                    str(name): _of_pandas(frame[name], f"The column {name} of the table")
                    for name in frame.columns
                }
            )
        else:
            arrow = frame.to_arrow()
        arrow.validate(full=True)
    except UserError:
        raise
    except Exception as error:  # a lazy table raises whatever its library does
        raise _unreadable("The table", error) from error
    return pa.table([_decoded(column) for column in arrow.columns], arrow.column_names)


def table_of(kind: str, table: pa.Table) -> Any:
    """Turns an Arrow table into one of another kind.

    Args:
        kind: What `kind_of` gives.
        table: The table.

    Returns:
        A pandas or Polars DataFrame, a PyArrow table, a DuckDB relation or an Ibis memtable.
    """
    if kind == "duckdb":
        # Narwhals would look for it by a name that a table of the user's may have too.
        import duckdb

        return duckdb.from_arrow(table)
    if kind == "ibis":
        return nw.from_arrow(table, backend="pyarrow").lazy("ibis").to_native()
    return nw.from_arrow(table, backend=kind).to_native()


def ids_of(values: Any) -> pa.Array:
    """Reads user or item ids.

    Args:
        values: A list, a NumPy array, a pandas or Polars series, an Arrow array, or a table with
            one column.

    Returns:
        string or int64 [n]; string where n is 0.

    Raises:
        UserError: They are neither all integers nor all strings.
    """
    where = "The list of ids"
    wrapped = _wrapped(values)
    try:
        if isinstance(wrapped, nw.DataFrame | nw.LazyFrame):
            table = read_table(values)
            if table.num_columns != 1:
                raise UserError(
                    f"The table of ids has the columns {', '.join(table.column_names)}: give a "
                    "table with one column."
                )
            ids = table.column(0)
        elif isinstance(wrapped, nw.Series):
            is_pandas = wrapped.implementation.is_pandas()
            ids = _of_pandas(wrapped, where) if is_pandas else wrapped.to_arrow()
        elif isinstance(values, pa.Array):
            ids = values
        elif isinstance(values, str | bytes) or not isinstance(values, Iterable):
            raise UserError(
                f"A list of ids is needed, but {values!r} is given: give a list, an array or a "
                "series."
            )
        elif isinstance(values, np.ndarray) and values.dtype != object:
            ids = pa.array(values)
        else:
            ids = _of_values(list(values), where)
        ids.validate(full=True)
        ids = _decoded(ids)
        if isinstance(ids, pa.ChunkedArray):
            ids = ids.combine_chunks()
        if not len(ids):
            return pa.array([], pa.string())
        if ids.null_count:
            row = pc.index(ids.is_null(), True).as_py() + 1
            raise UserError(f"{where} has a null (row {row}): give integers or strings.")
        check_ids(ids, where)
        return ids.cast(pa.int64() if pa.types.is_integer(ids.type) else pa.string())
    except UserError:
        raise
    except _ARROW_ERRORS as error:
        raise _unreadable(where, error) from error


def check_ids(values: pa.Array | pa.ChunkedArray, where: str) -> None:
    """Refuses values that are no ids, unless some are null, which is to be told first.

    Args:
        values: [n], of any type.
        where: What they are, to start the error with.

    Raises:
        UserError: They are neither integers nor strings.
    """
    types = pa.types
    is_of = (types.is_integer, types.is_string, types.is_large_string, types.is_string_view)
    if len(values) and not values.null_count and not any(is_(values.type) for is_ in is_of):
        raise UserError(
            f"{where} is of the type {values.type} (row 1 has {values[0]}): give integers or "
            "strings as ids."
        )


def _wrapped(value: Any) -> Any:
    try:
        return nw.from_native(value, allow_series=True, pass_through=True)
    except nw.exceptions.NarwhalsError as error:
        raise _unreadable("The table", error) from error


def _frame(table: Any) -> nw.DataFrame | nw.LazyFrame:
    frame = _wrapped(table)
    if not isinstance(frame, nw.DataFrame | nw.LazyFrame):
        raise UserError(
            f"A {type(table).__name__} is no table: give one of pandas, Polars, PyArrow, DuckDB "
            "or Ibis."
        )
    return frame


def _of_pandas(series: nw.Series, where: str) -> pa.Array | pa.ChunkedArray:
    if series.to_native().dtype != object:
        return series.to_arrow()
    nulls = series.is_null().to_list()
    values = series.to_list()
    return _of_values(
        [None if null else value for value, null in zip(values, nulls, strict=True)], where
    )


def _of_values(values: Sequence[Any], where: str) -> pa.Array:
    """Python values of one sort; Arrow alone would take a number for a time, or bytes for text."""
    sorts = {kind: _sort(kind) for kind in set(map(type, values)) if kind is not type(None)}
    if len(set(sorts.values())) > 1:
        first = next(type(value) for value in values if value is not None)
        row = next(
            i
            for i, value in enumerate(values)
            if sorts.get(type(value), sorts[first]) != sorts[first]
        )
        raise UserError(
            f"{where} mixes {first.__name__} with {type(values[row]).__name__} (row {row + 1} has "
            f"{values[row]!r}): give all its values one type."
        )
    try:
        return pa.array(values)
    except _ARROW_ERRORS as whole:
        for row, value in enumerate(values, 1):
            try:
                pa.array([value])
            except _ARROW_ERRORS as error:
                raise _unreadable(where, f"row {row}: {error}") from error
        raise _unreadable(where, whole) from whole


def _sort(kind: type) -> type:
    return next((sort for sort in _SORTS if issubclass(kind, sort)), kind)


def _decoded(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _unreadable(where: str, reason: object) -> UserError:
    reason = " ".join(str(reason).split()).strip(". ")
    return UserError(f"{where} cannot be read ({reason}): correct it.")
