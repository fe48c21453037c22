import gzip
import os
from dataclasses import replace

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tfrs_timirec.config import DataSettings
from tfrs_timirec.data.engines.duck import DuckDB
from tfrs_timirec.data.readers import find_files, read_log
from tfrs_timirec.errors import UserError

HEADER = "user_id,item_id,timestamp\n"


def _read(*paths, **changes):
    settings = DataSettings(**changes)
    log = read_log(paths, settings, DuckDB(ibis.duckdb.connect(threads=2)))
    return log.order_by("position").to_pyarrow().drop_columns("position")


def _write(folder, text, name="log.csv", encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


EXPECTED = {"user": [1, 2, 1], "item": ["a", "b", "c"], "time": [30, 20, 10]}


def test_csv(tmp_path):
    text = 'extra,timestamp,item_id,user_id\nx,30,a,1\n"y,\nz",20,"b",2\n,10,c,1\n'
    log = _read(_write(tmp_path, text))
    assert log.to_pydict() == EXPECTED
    assert log.schema.types == [pa.int64(), pa.string(), pa.int64()]


def test_csv_as_windows_writes_it(tmp_path):
    text = "\ufeffuser_id,item_id,timestamp\r\n1,a,30\r\n2,b,20\r\n1,c,10"
    assert _read(_write(tmp_path, text)).to_pydict() == EXPECTED


def test_tsv_and_gzip(tmp_path):
    text = "user_id\titem_id\ttimestamp\n1\ta\t30\n2\tb\t20\n1\tc\t10\n"
    assert _read(_write(tmp_path, text, "log.tsv")).to_pydict() == EXPECTED
    path = tmp_path / "log.tsv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    assert _read(path).to_pydict() == EXPECTED


def test_parquet(tmp_path):
    path = tmp_path / "log.parquet"
    pq.write_table(
        pa.table({"user_id": [1, 2, 1], "item_id": ["a", "b", "c"], "timestamp": [30, 20, 10]}),
        path,
    )
    assert _read(path).to_pydict() == EXPECTED


def test_parquet_keeps_its_types(tmp_path):
    path = tmp_path / "log.parquet"
    times = pa.array([1_500_000, 2_000_000, 0], pa.timestamp("us"))
    pq.write_table(
        pa.table(
            {"user_id": pa.array([1, 2, 1], pa.uint8()), "item_id": ["1", "2", "3"], "when": times}
        ),
        path,
    )
    log = _read(path, time_column="when")
    assert log.to_pydict() == {"user": [1, 2, 1], "item": ["1", "2", "3"], "time": [1.5, 2, 0]}


def test_movielens(tmp_path):
    path = _write(tmp_path, "1::a::5::30\n2::é::3::20\n1::c::4::10\n", "r.dat", "latin-1")
    log = _read(path, rating_column="rating", min_rating=1.0)
    assert log.to_pydict() == EXPECTED | {"item": ["a", "é", "c"], "rating": [5, 3, 4]}


def test_typed_header(tmp_path):
    text = "user_id:token\titem_id:token\ttimestamp:float\n1\ta\t30\n2\tb\t20\n1\tc\t10\n"
    assert _read(_write(tmp_path, text, "log.inter")).to_pydict() == EXPECTED


def test_sequences(tmp_path):
    path = _write(tmp_path, "1 a  c\n\n2\tb \n1 a\n", "log.txt")
    assert _read(path).to_pydict() == {"user": [1, 1, 2, 1], "item": ["a", "c", "b", "a"]}


def test_several_files_are_one_log_in_the_order_of_their_names(tmp_path):
    for name, item in [("b.csv", "z"), ("a.csv", "y"), ("c.csv", "x")]:
        _write(tmp_path, f"{HEADER}1,{item},5\n2,{item}{item},4\n", name)
    paths = find_files(str(tmp_path / "*.csv"))
    assert [path.name for path in paths] == ["a.csv", "b.csv", "c.csv"]
    assert _read(*paths)["item"].to_pylist() == ["y", "yy", "z", "zz", "x", "xx"]


def test_the_format_can_be_said(tmp_path):
    path = _write(tmp_path, f"{HEADER}1,a,30\n2,b,20\n1,c,10\n", "log.data")
    assert _read(path, format="csv").to_pydict() == EXPECTED
    with pytest.raises(UserError, match="log.data does not show in its ending: set data.format"):
        _read(path)


def test_columns_may_clash_with_ours(tmp_path):
    path = _write(tmp_path, "position,Position,x,x,time\n1,a,,,30\n2,b,,,20\n1,c,,,10\n")
    log = _read(path, user_column="position", item_column="Position", time_column="time")
    assert log.to_pydict() == EXPECTED


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["1", "20", "-3"], [1, 20, -3]),
        (["007", "8", "9"], ["007", "8", "9"]),
        (["1", "b", "3"], ["1", "b", "3"]),
        (["1.0", "2", "3"], ["1.0", "2", "3"]),
        (["9223372036854775808", "2", "3"], ["9223372036854775808", "2", "3"]),
        (["+1", "1", "1e3"], ["+1", "1", "1e3"]),
        (["NULL", "nan", "true"], ["NULL", "nan", "true"]),
    ],
)
def test_ids_are_kept_as_they_are(tmp_path, ids, expected):
    path = _write(tmp_path, HEADER + "".join(f"{id_},{id_},1\n" for id_ in ids))
    assert _read(path)["user"].to_pylist() == expected
    assert _read(path)["item"].to_pylist() == expected


def test_a_name_is_not_a_glob(tmp_path):
    path = _write(tmp_path, f"{HEADER}1,a,30\n2,b,20\n1,c,10\n", "log[1].csv")
    _write(tmp_path, f"{HEADER}9,z,9\n", "log1.csv")
    assert _read(*find_files(str(path))).to_pydict() == EXPECTED


def test_a_leading_zero_late_in_a_long_log_is_kept(tmp_path):
    lines = [f"{user},1,1\n" for user in range(60_000)]
    path = _write(tmp_path, HEADER + "".join(lines) + "007,1,1\n")
    users = _read(path)["user"]
    assert users[7].as_py() == "7"
    assert users[-1].as_py() == "007"


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (["1700000000123456789", "2"], [1700000000123456789, 2]),
        (["1.5", "2"], [1.5, 2]),
        (["-5", "1e3"], [-5, 1000]),
        (["2020-01-01", "1970-01-02"], [1577836800, 86400]),
        (["2020-01-01 00:00:00.25", "1970-01-01T00:00:01"], [1577836800.25, 1]),
        (["2020-01-01T02:00:00+02:00", "1970-01-01T00:00:00Z"], [1577836800, 0]),
    ],
)
def test_times(tmp_path, times, expected):
    path = _write(tmp_path, HEADER + "".join(f"1,2,{time}\n" for time in times))
    assert _read(path)["time"].to_pylist() == expected


def test_no_time_column(tmp_path):
    path = _write(tmp_path, "user_id,item_id\n1,2\n")
    assert _read(path, time_column=None).to_pydict() == {"user": [1], "item": [2]}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,a,1\n2,,2\n", "Row 2 of .*log.csv has no readable item in the column item_id but ''"),
        ("1,a,1\n ,b,2\n", "Row 2 of .*log.csv has no readable user in the column user_id but ' '"),
        ("1,a,1\n3\n", "Row 2 of .*log.csv has no readable item"),
        ("1,a,1\n2,b,soon\n", "Row 2 of .*log.csv has no readable time .* timestamp but 'soon'"),
        ("1,a,1\n2,b,\n", "Row 2 of .*log.csv has no readable time"),
        ("1,a,1\n2,b,nan\n", "Row 2 of .*log.csv has no readable time"),
        ("1,a,1\n2,b,3\n3,c,2020-01-01\n", "Row 3 of .*log.csv has no readable time"),
        ("1,a,2020-01-01\n2,b,2020-01-02\n3,c,3\n", "Row 3 .* but '3'"),
        ("1,a,1\n2,b,2,3\n", r"Line 3 of .*log.csv cannot be read as csv \(Expected Number"),
        ('1,a,1\n2,"b,2\n', "log.csv cannot be read as csv"),
        ("", "log.csv holds no interactions"),
    ],
)
def test_bad_rows_are_named(tmp_path, rows, message):
    with pytest.raises(UserError, match=message) as error:
        _read(_write(tmp_path, HEADER + rows))
    assert "\n" not in str(error.value)


def test_a_bad_row_is_counted_in_its_own_file(tmp_path):
    first = _write(tmp_path, f"{HEADER}1,a,1\n2,b,2\n", "a.csv")
    second = _write(tmp_path, f"{HEADER}1,a,1\n2,,2\n", "b.csv")
    with pytest.raises(UserError, match="Row 2 of .*b.csv"):
        _read(first, second)


def test_an_unreadable_rating(tmp_path):
    path = _write(tmp_path, "user_id,item_id,timestamp,stars\n1,a,1,5\n1,b,2,good\n")
    with pytest.raises(UserError, match="Row 2 .* rating in the column stars but 'good'"):
        _read(path, rating_column="stars", min_rating=3.0)
    assert _read(path, rating_column="stars").num_rows == 2


@pytest.mark.parametrize("column", ["timestamp", "stars"])
def test_no_number_is_no_value_in_parquet_either(tmp_path, column):
    # The file tells the least and the greatest number of a column, and leaves this out.
    rows = {"user_id": [1] * 3, "item_id": [*"abc"], "timestamp": [1.0, 2.0, 3.0]}
    rows["stars"] = [5.0, 4.0, 5.0]
    rows[column][1] = float("nan")
    path = tmp_path / "log.parquet"
    pq.write_table(pa.table(rows), path)
    with pytest.raises(UserError, match=f"Row 2 .* in the column {column} but"):
        _read(path, rating_column="stars", min_rating=3.0)


def test_a_header_that_names_a_column_twice(tmp_path):
    path = _write(tmp_path, "user_id,item_id,timestamp,item_id\n1,a,1,b\n")
    with pytest.raises(UserError, match="several columns item_id: .* data.item_column"):
        _read(path)
    typed = _write(tmp_path, "user_id:token\titem_id:token\titem_id:float\n1\ta\t1\n", "a.inter")
    with pytest.raises(UserError, match="several columns item_id"):
        _read(typed, time_column=None)


def test_a_sequence_without_items(tmp_path):
    path = _write(tmp_path, "1 a b\n\n2\n", "log.txt")
    with pytest.raises(UserError, match="Line 3 of .*log.txt has the user 2 but no item"):
        _read(path)


@pytest.mark.parametrize("role", ["user", "item", "time", "rating"])
def test_a_missing_column(tmp_path, role):
    path = _write(tmp_path, "user_id,item_id,timestamp,stars\n1,a,1,5\n")
    settings = replace(
        DataSettings(rating_column="stars", min_rating=1.0), **{f"{role}_column": "other"}
    )
    with pytest.raises(UserError, match=f"no column other: set data.{role}_column .*, timestamp"):
        read_log([path], settings, DuckDB(ibis.duckdb.connect()))


def test_files_that_do_not_fit_together(tmp_path):
    first = _write(tmp_path, f"{HEADER}1,a,1\n", "a.csv")
    second = _write(tmp_path, "item_id,user_id,timestamp\n1,a,1\n", "b.csv")
    with pytest.raises(UserError, match="b.csv has the columns item_id, user_id"):
        _read(first, second)
    with pytest.raises(UserError, match="have different formats"):
        _read(first, _write(tmp_path, "1 2 3", "c.txt"))


def test_empty_and_broken_files(tmp_path):
    for name in ("log.csv", "log.dat", "log.txt", "log.parquet", "log.csv.gz"):
        path = _write(tmp_path, "", name)
        with pytest.raises(UserError, match=name):
            _read(path)
    with pytest.raises(UserError, match="log.csv.gz cannot be read"):
        _read(_write(tmp_path, HEADER, "log.csv.gz"))
    path = tmp_path / "log.csv.gz"
    path.write_bytes(gzip.compress((HEADER + "1,2,3\n" * 9999).encode())[:-20])
    with pytest.raises(UserError, match="log.csv.gz"):
        _read(path)


def test_nothing_there(tmp_path):
    with pytest.raises(UserError, match="No file is at .*none.csv"):
        find_files(str(tmp_path / "none.csv"))
    with pytest.raises(UserError, match=r"No file is at .*\*.csv"):
        find_files(str(tmp_path / "*.csv"))
    with pytest.raises(UserError, match="is a folder"):
        find_files(str(tmp_path))


def test_a_line_break_within_quotes_is_read_and_counted_as_part_of_its_row(tmp_path):
    text = HEADER + '1,"a\nb",30\n' + "2,c,20\n" * 50_000
    log = _read(_write(tmp_path, text))
    assert log.num_rows == 50_001
    assert log.slice(0, 2).to_pydict() == {"user": [1, 2], "item": ["a\nb", "c"], "time": [30, 20]}
    with pytest.raises(UserError, match="Row 2 of .* no readable time"):
        _read(_write(tmp_path, HEADER + '1,"a\nb",30\n2,c,soon\n'))


def test_what_is_no_regular_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    for source in (tmp_path / "pipe.csv", "/dev/zero", "/dev/stdin"):
        with pytest.raises(UserError, match="is no regular file"):
            find_files(str(source))


def test_a_file_name_that_is_not_in_utf_8(tmp_path):
    name = os.fsdecode(b"caf\xe9.csv")
    (tmp_path / name).write_text(HEADER)
    for source in (tmp_path / name, tmp_path / "*.csv"):
        with pytest.raises(UserError, match=r"caf\\udce9.csv' is not in UTF-8: rename") as error:
            find_files(str(source))
        str(error.value).encode()
