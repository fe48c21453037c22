"""Tables of every kind, as logs and as lists of ids."""

import datetime as dt
import gc
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import duckdb
import ibis
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import examples
from tfrs_timirec.config import DataSettings
from tfrs_timirec.data import load
from tfrs_timirec.data.engines.duck import DuckDB
from tfrs_timirec.data.readers import read_log_table
from tfrs_timirec.data.tables import column_names, ids_of, kind_of, read_table, table_of
from tfrs_timirec.errors import UserError

# A native table of each kind from an Arrow table, by the library's own means.
MAKERS = {
    "pandas": lambda table: table.to_pandas(),
    "pandas of objects": lambda table: table.to_pandas().astype(object),
    "pandas of Arrow": lambda table: table.to_pandas(types_mapper=pd.ArrowDtype),
    "polars": pl.from_arrow,
    "polars, lazy": lambda table: pl.from_arrow(table).lazy(),
    "pyarrow": lambda table: table,
    "duckdb": duckdb.from_arrow,
    "ibis": ibis.memtable,
}
every_kind = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
QUICK = ("pandas", "polars", "pyarrow", "duckdb")
# Of what has many cases.
mostly_long = pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, id=kind, marks=[pytest.mark.long] * (kind not in QUICK))
        for kind, make in MAKERS.items()
    ],
)
SETTINGS = DataSettings(user_column="customer", item_column="sku", time_column="bought_at", core=1)


def _read(table, **changes):
    changed = replace(SETTINGS, **changes)
    log = read_log_table(table, changed, DuckDB(ibis.duckdb.connect(threads=2)))
    return log.order_by("position").to_pyarrow().drop_columns("position")


def _log(customer=(1, 2, 1), sku=("a", "b", "c"), bought_at=(30, 20, 10)):
    return {"customer": list(customer), "sku": list(sku), "bought_at": list(bought_at)}


def _one_sentence(error):
    message = str(error.value)
    assert "\n" not in message
    assert message[0].isupper() and message.endswith(".")
    return message


@every_kind
def test_a_log_of_each_kind(make):
    log = _read(make(pa.table(_log() | {"unused": [[1], [2], [3]]})))
    assert log.to_pydict() == {"user": [1, 2, 1], "item": ["a", "b", "c"], "time": [30, 20, 10]}
    assert log.schema.types == [pa.int64(), pa.string(), pa.int64()]


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow", "duckdb", "ibis"])
def test_there_and_back(kind):
    table = pa.table({"customer": [1, 2], "sku": ["a", "é"], "score": [0.5, 0.25]})
    native = table_of(kind, table)
    assert kind_of(native) == kind
    assert column_names(native) == ["customer", "sku", "score"]
    del table
    gc.collect()
    back = read_table(native)
    assert back.to_pydict() == {"customer": [1, 2], "sku": ["a", "é"], "score": [0.5, 0.25]}
    assert read_table(native, ["sku"]).column_names == ["sku"]


def test_the_natives_are_what_users_expect():
    table = pa.table({"customer": [1], "sku": ["a"], "score": pa.array([0.5], pa.float32())})
    expected = pd.DataFrame({"customer": [1], "sku": ["a"], "score": np.float32([0.5])})
    pd.testing.assert_frame_equal(table_of("pandas", table), expected)
    assert isinstance(table_of("polars", table), pl.DataFrame)
    assert table_of("duckdb", table).fetchall() == [(1, "a", 0.5)]
    assert isinstance(table_of("ibis", table), ibis.Table)


def test_a_relation_is_not_mistaken_for_a_table_of_the_users_own():
    duckdb.sql("CREATE OR REPLACE TEMP TABLE _df AS SELECT 'another' AS a")
    try:
        assert table_of("duckdb", pa.table({"a": [1]})).fetchall() == [(1,)]
    finally:
        duckdb.sql("DROP TABLE _df")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (pd.Series([1]), "pandas"),
        (pl.Series([1]), "polars"),
        (pl.LazyFrame({"a": [1]}), "polars"),
        (pa.array([1]), "pyarrow"),
        (pa.chunked_array([[1]]), "pyarrow"),
        ([1], None),
        (np.array([1]), None),
        (Path("log.csv"), None),
        ("log.csv", None),
        (None, None),
        ({"a": [1]}, None),
    ],
)
def test_kinds(value, kind):
    assert kind_of(value) == kind


def test_no_other_library_is_imported():
    code = (
        "import sys, pyarrow as pa; from tfrs_timirec.data.tables import *; "
        "read_table(pa.table({'a': [1]})); ids_of(['a']); kind_of([]); "
        "assert not {'polars', 'duckdb', 'ibis'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame(_log()).astype({"sku": "category"}),
        pl.DataFrame(_log()).with_columns(pl.col("sku").cast(pl.Categorical)),
        pl.DataFrame(_log()).with_columns(pl.col("sku").cast(pl.Enum(["c", "b", "a"]))),
        pa.table(_log() | {"sku": pa.array(["a", "b", "c"]).dictionary_encode()}),
    ],
)
def test_categories_are_what_they_stand_for(table):
    assert _read(table)["item"].to_pylist() == ["a", "b", "c"]
    assert ids_of(read_table(table)["sku"]).equals(pa.array(["a", "b", "c"]))


def test_enums_of_duckdb_are_what_they_stand_for():
    log = pa.table(_log())
    relation = duckdb.from_arrow(log).project("* REPLACE (sku::ENUM('c', 'b', 'a') AS sku)")
    assert _read(relation)["item"].to_pylist() == ["a", "b", "c"]


def test_categories_of_integers():
    table = pd.DataFrame(_log()).astype({"customer": "category"})
    assert _read(table)["user"].to_pylist() == [1, 2, 1]


@every_kind
def test_digits_in_strings_stay_strings(make):
    table = make(pa.table(_log(customer=["1", "2", "1"], sku=[7, 8, 9])))
    assert _read(table).to_pydict() | {"time": 0} == {
        "user": ["1", "2", "1"],
        "item": [7, 8, 9],
        "time": 0,
    }


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint64(), pa.string(), pa.large_string()])
def test_types_of_ids(kind):
    table = pa.table(_log() | {"customer": pa.array([1, 2, 1]).cast(kind)})
    expected = pa.int64() if pa.types.is_integer(kind) else pa.string()
    assert _read(table)["user"].type == expected


UTC = dt.UTC
EAST = dt.timezone(dt.timedelta(hours=2))


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (pa.array([1700000000123456789, 2]), [1700000000123456789, 2]),
        (pa.array([1.5, 2]), [1.5, 2]),
        (pa.array(["1.5", "2"]), [1.5, 2]),
        (pa.array(["2020-01-01", "1970-01-02"]), [1577836800, 86400]),
        (pa.array([dt.date(2020, 1, 1), dt.date(1970, 1, 2)]), [1577836800, 86400]),
        (pa.array([dt.datetime(2020, 1, 1), dt.datetime(1970, 1, 2)]), [1577836800, 86400]),
        (
            pa.array(
                [dt.datetime(2020, 1, 1, 2, tzinfo=EAST), dt.datetime(1970, 1, 2, 2, 0, 0, 5)]
            ),
            [1577836800, 93600.000005],
        ),
        *[
            (
                pa.array([1500, 2000])
                .cast(pa.timestamp("ms", zone))
                .cast(pa.timestamp(unit, zone)),
                [1.5, 2],
            )
            for unit in ("ms", "us", "ns")
            for zone in (None, "UTC", "Europe/Berlin")
        ],
        (pa.array([1, 2], pa.timestamp("s", "Asia/Tokyo")), [1, 2]),
    ],
)
@mostly_long
def test_times(make, times, expected):
    table = make(pa.table({"customer": [1, 2], "sku": ["a", "b"], "bought_at": times}))
    assert _read(table)["time"].to_pylist() == expected


def test_no_times_and_ratings():
    table = pl.DataFrame(_log() | {"stars": [5, 3, 4]})
    log = _read(table, time_column=None, rating_column="stars", min_rating=1.0)
    assert log.to_pydict() == {"user": [1, 2, 1], "item": ["a", "b", "c"], "rating": [5, 3, 4]}


def test_one_column_may_have_two_roles_and_names_may_clash():
    table = pa.table({"position": [1, 2], "user": ["a", "b"], "Position": [5, 6]})
    log = _read(table, user_column="user", item_column="position", time_column="position")
    assert log.to_pydict() == {"user": ["a", "b"], "item": [1, 2], "time": [1, 2]}


def test_neither_index_nor_order_of_rows_is_changed():
    table = pd.DataFrame(_log(), index=[5, 5, 0])
    assert _read(table)["item"].to_pylist() == ["a", "b", "c"]
    chunks = [
        pa.table({"customer": np.arange(i, i + 500), "sku": np.arange(i, i + 500)})
        for i in range(0, 300_000, 500)
    ]
    log = _read(pa.concat_tables(chunks), time_column=None)
    assert log["user"].to_pylist() == list(range(300_000))


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (_log(customer=[1, 2, None]), "Row 3 of the table has no .* user in .* customer but None"),
        (_log(sku=["a", " ", "c"]), "Row 2 of the table has no .* item in .* sku but ' '"),
        (_log(sku=[None] * 3), "Row 1 of the table has no .* item in .* sku but None"),
        (_log(sku=[1, 2, 2**63]), "Row 3 of the table .* sku but '9223372036854775808'|row 3"),
        (_log(sku=[0.5, 1.5, 2.5]), r"The column sku .* type double \(row 1 has 0.5\)"),
        (_log(sku=[b"a", b"b", b"c"]), "The column sku .* type (large_)?binary"),
        (_log(sku=[True, False, True]), "The column sku .* type bool"),
        (
            _log(bought_at=[1, None, 3]),
            "Row 2 of the table has no .* time in .* bought_at but None",
        ),
        (_log(bought_at=[1.5, 2, float("nan")]), "Row 3 of the table has no readable time"),
        (_log(bought_at=["1", "soon", "3"]), "Row 2 of the table has no .* time .* but 'soon'"),
        (_log(bought_at=[True, True, False]), "Row 1 of the table has no .* time .* but 'true'"),
        (_log(bought_at=[dt.timedelta(1)] * 3), "Row 1 of the table has no readable time"),
        (
            _log(bought_at=[dt.datetime(2020, 1, 1), None, None]),
            "Row 2 of the table has no .* time",
        ),
        (_log([], [], []), "The table holds no interactions"),
    ],
)
@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_bad_values_are_named(make, log, message):
    if make is pl.DataFrame and log["sku"][-1:] == [2**63]:
        log = pl.DataFrame(log, schema_overrides={"sku": pl.UInt64})
    with pytest.raises(UserError, match=message) as error:
        _read(make(log))
    _one_sentence(error)


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (_log(customer=[1, "b", 3]), r"column customer .* mixes int with str \(row 2 has 'b'\)"),
        (_log(customer=["a", None, 3]), r"column customer .* mixes str with int \(row 3 has 3\)"),
        (_log(sku=["a", b"b", "c"]), "column sku of the table mixes str with bytes"),
        (
            _log(bought_at=[dt.datetime(2020, 1, 1), 3, 4]),
            r"column bought_at .* with int \(row 2 has 3\)",
        ),
        (
            _log(bought_at=[dt.date(2020, 1, 1), dt.datetime(2020, 1, 1, 5), dt.date(2020, 1, 2)]),
            "column bought_at of the table mixes date with",
        ),
        (
            _log(sku=["a", "\ud800", "c"]),
            r"column sku of the table cannot be read \(row 2: .*utf-8",
        ),
        (_log(customer=[1, 2**70, 3]), r"column customer .* cannot be read \(row 2: "),
    ],
)
def test_objects_of_pandas(log, message):
    table = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in log.items()})
    with pytest.raises(UserError, match=message) as error:
        _read(table)
    _one_sentence(error)


def test_a_missing_integer_of_pandas_is_told_as_missing():
    with pytest.raises(UserError, match="Row 2 of the table .* customer but None"):
        _read(pd.DataFrame(_log(customer=[1, None, 3])))
    table = pd.DataFrame(_log()).astype({"customer": "Int64"})
    assert _read(table)["user"].to_pylist() == [1, 2, 1]


def test_broken_unicode():
    offsets = pa.py_buffer(np.array([0, 1, 4, 5], np.int32).tobytes())
    broken = pa.StringArray.from_buffers(3, offsets, pa.py_buffer(b"aa\xffac"))
    for role in ("customer", "sku", "bought_at"):
        with pytest.raises(UserError, match="The table cannot be read .*UTF8") as error:
            _read(pa.table(_log() | {role: broken}))
        _one_sentence(error)
    with pytest.raises(UserError, match="The list of ids cannot be read .*UTF8"):
        ids_of(broken)


def test_times_out_of_range_and_types_that_duckdb_lacks():
    for times in (
        pa.array([2**60] * 3, pa.timestamp("s")),
        pa.array([2**60] * 3, pa.timestamp("s", "UTC")),
        pa.array(np.float16([1, 2, 3])),
    ):
        with pytest.raises(UserError, match="The table cannot be read") as error:
            _read(pa.table(_log() | {"bought_at": times}))
        _one_sentence(error)


@every_kind
@pytest.mark.parametrize("role", ["user", "item", "time"])
def test_a_missing_column(make, role):
    message = rf"The table has no column x: set data.{role}_column \(fit's {role}\) to one of cust"
    with pytest.raises(UserError, match=message) as error:
        _read(make(pa.table(_log())), **{f"{role}_column": "x"})
    _one_sentence(error)


def test_tables_that_cannot_be_read(tmp_path):
    (tmp_path / "log.csv").write_text("customer,sku,bought_at\n1,a,1\n")
    relation = duckdb.read_csv(str(tmp_path / "log.csv"))
    lazy = pl.DataFrame(_log()).lazy().with_columns(pl.col("sku").cast(pl.Int64))
    (tmp_path / "log.csv").unlink()
    for table in (relation, lazy, pl.scan_csv(tmp_path / "log.csv")):
        with pytest.raises(UserError, match="The table cannot be read") as error:
            _read(table)
        _one_sentence(error)
    with pytest.raises(UserError, match=r"cannot be read \(Expected unique column names"):
        kind_of(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    for value in ([1, 2], "log.csv", pd.Series([1])):
        with pytest.raises(UserError, match="is no table: give one of pandas, Polars"):
            read_table(value)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3, 1, 3], [3, 1, 3]),
        (("a", "b"), ["a", "b"]),
        (range(2), [0, 1]),
        (pd.Index(["a"]), ["a"]),
        ([np.int32(3), 4], [3, 4]),
        (np.array([1, 2], np.uint8), [1, 2]),
        (np.array(["a", "bc"]), ["a", "bc"]),
        (np.array(["a", "bc"], object), ["a", "bc"]),
        (pd.Series(["a", "b"], index=[4, 4]), ["a", "b"]),
        (pd.Series([1, 2], dtype="Int64"), [1, 2]),
        (pd.Series(["a", "b"], dtype=object), ["a", "b"]),
        (pd.Series(["a", "b"], dtype="category"), ["a", "b"]),
        (pl.Series(["a", "b"]), ["a", "b"]),
        (pl.Series(["a", "b"], dtype=pl.Categorical), ["a", "b"]),
        (pa.array([1], pa.int16()), [1]),
        (pa.array(["a"], pa.string_view()), ["a"]),
        (pa.chunked_array([["a"], ["b"]]), ["a", "b"]),
        (pd.DataFrame({"customer": [1, 2]}), [1, 2]),
        (pl.LazyFrame({"customer": ["a"]}), ["a"]),
        ([], []),
        (np.array([]), []),
        (pd.Series([], dtype=object), []),
    ],
)
def test_ids(values, expected):
    ids = ids_of(values)
    kind = pa.int64() if expected and isinstance(expected[0], int) else pa.string()
    assert ids.equals(pa.array(expected, kind))


@every_kind
def test_ids_of_a_table(make):
    for expected in (pa.array([3, 1]), pa.array(["a", "b"])):
        assert ids_of(make(pa.table({"customer": expected}))).equals(expected)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, "a"], r"The list of ids mixes int with str \(row 2 has 'a'\)"),
        (["a", 1], "mixes str with int"),
        (np.array(["a", 1], object), "mixes str with int"),
        (pd.Series(["a", 1]), "mixes str with int"),
        ([1, 2.5], r"The list of ids is of the type double \(row 1 has 1.0\)"),
        (np.array([0.5]), "type double"),
        (pl.Series([0.5]), "type double"),
        ([True], "type bool"),
        ([dt.date(2020, 1, 1)], "type date32"),
        ([1, None], r"The list of ids has a null \(row 2\)"),
        (pd.Series(["a", None]), r"null \(row 2\)"),
        (pd.Series([1, None]), r"null \(row 2\)"),
        (pl.Series([None]), r"null \(row 1\)"),
        ([1, 2**70], r"cannot be read \(row 2: "),
        (np.array([2**63], np.uint64), "cannot be read"),
        (["\ud800"], r"cannot be read \(row 1: "),
        (np.array([[1]]), "cannot be read"),
        ("abc", "A list of ids is needed, but 'abc' is given"),
        (5, "A list of ids is needed, but 5 is given"),
        (ibis.memtable({"a": ["x"]}).a, "The list of ids cannot be read"),
        (pl.DataFrame({"a": [1], "b": [2]}), "columns a, b: give a table with one column"),
    ],
)
def test_no_ids(values, message):
    with pytest.raises(UserError, match=message) as error:
        ids_of(values)
    _one_sentence(error)


def test_nothing_is_kept_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "spill"))
    (tmp_path / "spill").mkdir()
    changed = replace(SETTINGS, folder=str(tmp_path / "data"))
    store = load(changed, 0, pd.DataFrame(_log(customer=[1, 1, 1])))
    assert [store.item_ids[i - 1].as_py() for i in store.items] == ["c", "b", "a"]
    assert store.times.tolist() == [10, 20, 30]
    assert [path.name for path in tmp_path.rglob("*")] == ["spill"]
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "spill" / "file" / "below"))
    (tmp_path / "spill" / "file").write_text("")
    with pytest.raises(UserError, match="set TMPDIR to a folder that can"):
        load(changed, 0, pd.DataFrame(_log()))


rows = st.lists(
    st.tuples(
        st.sampled_from([3, 20, -1]) | st.integers(-(2**63), 2**63 - 1),
        st.sampled_from(["a", "b", "é", "01", 'q"', "x,y", "'", "nan", "NULL", "z z"]),
        st.integers(0, 3) | st.datetimes(dt.datetime(1971, 1, 1), dt.datetime(2100, 1, 1)),
    ),
    min_size=3,
    max_size=40,
)


@given(rows, st.booleans())
@examples(12)
def test_each_kind_gives_the_sequences_of_a_csv_file(rows, dated):
    rows = [row for row in rows if isinstance(row[2], dt.datetime) == dated]
    # Users of the core, and times that are equal.
    rows += [(3, item, dt.datetime(1999, 5, 5, 1) if dated else 2) for item in "bab"]
    table = pa.table(_log(*zip(*rows, strict=True)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log.csv")
        table.to_pandas().to_csv(path, index=False)
        expected = load(replace(SETTINGS, source=str(path), folder=folder), 0)
    for make in MAKERS.values():
        store = load(SETTINGS, 0, make(table))
        assert store.digest == expected.digest
        assert store.user_ids.equals(expected.user_ids)
        assert store.item_ids.equals(expected.item_ids)
