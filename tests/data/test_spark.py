"""Spark prepares what DuckDB prepares; started once for all of these tests."""

import glob
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tfrs_timirec.config import DataSettings
from tfrs_timirec.data import load
from tfrs_timirec.data.engines.duck import DuckDB
from tfrs_timirec.data.preparation import prepare
from tfrs_timirec.data.readers import find_files, read_log
from tfrs_timirec.data.store import SequenceStore
from tfrs_timirec.errors import UserError

pytestmark = [pytest.mark.spark, pytest.mark.filterwarnings("ignore")]
MASTER = "local[2]"
# Separated by |.
ODD = (
    "1|007|+1|-1|-0| 1|1 |1.0|1.5|1e3|1E5|1_000|12d|12f|12L|0x10|NaN|nan|inf|Infinity|-inf||  |"
    "\t|\u00a01|abc|9223372036854775807|9223372036854775808|-9223372036854775808|1e18|1e-400|"
    "4611686018427387904|1e19|.5|5.|1,000|true|2020-01-01|2020-1-1|2020-01|2020|1e999|"
    "2020-01-01 10:00:00|2020-01-01T10:00:00Z|2020-01-01T10:00:00+02:00|0.1|12345.123456789|"
    "2020-01-01 10:00:00 UTC|2020-01-01 10:00:00 Europe/Berlin|2020-01-01 10:00:00.123456|"
    "2020-01-01 10:00|20200101|01/02/2020|2020/01/02|2020-02-30|epoch|now|today|infinity|"
    "10:00:00|1969-12-31 23:59:59.5|T10:00|2020-01-01 24:00:00|0001-01-01|0000-01-01|"
    "10000-01-01|2020-01-01 10|2020-01-01 10:00:00 +02:00|2020-01-01 10:00+02:00|\x0b|\u2003|"
    "9999-12-31 23:59:59.999999|2020-01-01 10:00:00+14:30|2020-01-01 10:00:00-1500|2020-13-01"
)
HEADER = "user_id,item_id,timestamp\n"


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    """Spark on two cores."""
    pytest.importorskip("pyspark", reason="pyspark is not installed: pip install '.[spark]'")
    if not shutil.which("java"):
        pytest.skip("there is no java here: install Java 17")
    from tfrs_timirec.data.engines import spark

    with spark.prepares(MASTER, tmp_path_factory.mktemp("spark")) as engine:
        yield engine


@pytest.fixture
def both(engine, tmp_path):
    """A function from a source and settings to what DuckDB and what Spark make of it."""
    import ibis

    def prepared(source: Path | str, **changes) -> list[SequenceStore]:
        stores = []
        for name, used in (("duckdb", DuckDB(ibis.duckdb.connect())), ("spark", engine)):
            settings = DataSettings(source=str(source), **changes)
            folder = tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            log = read_log(find_files(settings.source), settings, used)
            prepare(log, settings, used, folder, "a test")
            stores.append(SequenceStore.load(folder))
        return stores

    return prepared


def check_equal(duckdb: SequenceStore, spark: SequenceStore) -> None:
    """The same to the last byte, and neither is empty."""
    assert len(duckdb.items)
    assert spark.digest == duckdb.digest
    assert spark.user_ids.equals(duckdb.user_ids)
    assert spark.item_ids.equals(duckdb.item_ids)
    assert (spark.read, spark.shards) == (duckdb.read, duckdb.shards)
    for name in ("items", "times", "offsets"):
        ours, theirs = getattr(spark, name), getattr(duckdb, name)
        assert (ours is None) == (theirs is None)
        assert ours is None or ours.dtype == theirs.dtype


@pytest.mark.parametrize("changes", [{}, {"shard_size": 7_000}])
def test_ml_100k(both, shared_data, changes):
    stores = both(shared_data("ml-100k.inter"), **changes)
    check_equal(*stores)
    assert stores[0].num_parts == (15 if changes else 1)


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """A log of ties, odd ids and odd times in several files, with quotes and without."""
    folder = tmp_path_factory.mktemp("logs of [odd] names")
    rng = np.random.default_rng(3)
    users = ["007", "7", " 7", "é", "12d", "1_000", "naïve, user", "NULL", "0x10", "-0"]
    items = ["1.0", "1", "a b", "ü", "2020", "x,y", "true", "1e3"]
    for part in "abc":
        rows = []
        for _ in range(400):
            user, item = rng.choice(users), rng.choice(items)
            day = rng.integers(1, 4)
            time = rng.choice(
                [
                    f"2020-01-{day:02}",
                    f"2020/1/{day}",
                    f"2020-01-{day:02} 10:00:00.25",
                    f"2020-01-{day:02}T12:00:00+02:00",
                    f"2020-01-{day:02}T08:30:00.123456789-0130",
                    f"1969-12-{day:02} 23:59:59.5 UTC",
                ]
            )
            rows.append(f'"{user}","{item}",{time}\n')
        (folder / f"{part} b.csv").write_text(HEADER + "".join(rows), encoding="utf-8")
    return folder


def test_ties_odd_ids_and_odd_times(both, logs):
    stores = both(f"{glob.escape(str(logs))}/*.csv", core=2)
    check_equal(*stores)
    assert "007" in stores[0].user_ids.to_pylist()
    ties = np.diff(stores[0].times) == 0
    assert ties.sum() > 50


@pytest.mark.parametrize(
    ("name", "text", "changes"),
    [
        ("log.csv", HEADER + "".join(f"{n % 4},{n % 3},{n // 5}.5\n" for n in range(90)), {}),
        ("log.tsv", HEADER.replace(",", "\t") + "1\t2\t-5\n1\t3\t1e1\n1\t4\t.5\n" * 3, {"core": 1}),
        ("log.csv", HEADER + '1,"a\nb",3\n1,"c ""d""",2\n1,e,1\n', {"core": 1}),
        ("log.txt", "1 a  c\n\n2\tb a c\n1 a\n2 b\n", {"core": 1}),
        ("log.dat", "1::a::5::30\n1::é::3::20\n1::c::4::10\n1::c::1::10\n", {"core": 1}),
        (
            "log.csv",
            "user_id,item_id,stars\n" + "".join(f"u{n % 3},i{n % 4},{n % 6}\n" for n in range(80)),
            {"time_column": None, "rating_column": "stars", "min_rating": 1.5},
        ),
    ],
    ids=["fractions", "tsv", "quotes", "sequences", "movielens", "ratings"],
)
def test_formats(both, tmp_path, name, text, changes):
    encoding = "latin-1" if name == "log.dat" else "utf-8"
    (tmp_path / name).write_text(text, encoding=encoding)
    check_equal(*both(tmp_path / name, **changes))


def test_parquet(both, tmp_path):
    rng = np.random.default_rng(0)
    for name in "ab":
        table = {
            "user_id": pa.array(rng.integers(0, 20, 500), pa.int32()),
            "item_id": [f"i{n}" for n in rng.integers(0, 15, 500)],
            "timestamp": pa.array(rng.integers(-9, 9, 500) * 500_000, pa.timestamp("us")),
        }
        pq.write_table(pa.table(table), tmp_path / f"{name}.parquet", row_group_size=100)
    check_equal(*both(tmp_path / "*.parquet"))


def test_what_a_value_means(engine, tmp_path):
    """Not one of many odd values is read otherwise."""
    import ibis

    from tfrs_timirec.data import values

    texts = ODD.split("|")
    path = tmp_path / "values.parquet"
    pq.write_table(pa.table({"text": texts}), path)

    def read(engine):
        table = engine.numbered(engine.read_parquet([path]), {"text": "text"})
        columns = {
            "whole": values.whole_number(table.text),
            "number": values.number(table.text),
            "time": engine.microseconds(values.date(table.text)),
            "id": values.not_blank(table.text),
        }
        ready = table.select("position", "text", **columns, shard=ibis.literal(0, "int64"))
        names = {name: name for name in ("text", *columns)}
        written = tmp_path / f"{type(engine).__name__}.parquet"
        engine.write_shards(engine.materialise(ready), ["position"], names, {0: written})
        return pq.read_table(written).to_pylist()

    ours, theirs = read(engine), read(DuckDB(ibis.duckdb.connect()))
    assert [row["text"] for row in ours] == texts
    assert ours == theirs
    read_as = {row["text"]: row for row in ours}
    for text in ("12d", "1_000", "0x10", "nan", "inf", "2020-01", "1,000"):
        assert read_as[text] == {"text": text, "whole": None, "number": None, "time": None} | {
            "id": text
        }
    assert read_as["2020"]["time"] is None and read_as["2020"]["whole"] == 2020
    assert read_as["2020/01/02"]["time"] == 1_577_923_200_000_000


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,a,1\n2,,2\n", "Row 2 of .*log.csv has no readable item in the column item_id but ''"),
        ("1,a,1\n2,b,soon\n", "Row 2 of .*log.csv has no readable time .* timestamp but 'soon'"),
        ("1,a,1\n2,b,2,3\n", r"log.csv cannot be read as csv \(a row has too few or too many"),
        ("1,a,1\n2,b\n", r"log.csv cannot be read as csv \(a row has too few or too many"),
        ("", "log.csv holds no interactions"),
    ],
)
def test_bad_rows_are_named(engine, tmp_path, rows, message):
    path = tmp_path / "log.csv"
    path.write_text(HEADER + rows)
    with pytest.raises(UserError, match=message) as error:
        read_log([path], DataSettings(), engine)
    assert "\n" not in str(error.value)


def train(tmp_path, *arguments, **environment):
    """The command, with Spark."""
    (tmp_path / "log.csv").write_text(HEADER + "1,2,3\n" * 9)
    command = (
        sys.executable,
        *("-m", "tfrs_timirec.train", f"--data.source={tmp_path / 'log.csv'}"),
        *("--data.engine=spark", f"--data.folder={tmp_path / 'data'}", f"--run={tmp_path / 'run'}"),
        *arguments,
    )
    return subprocess.run(
        command,
        cwd=Path(__file__).parents[2],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


def check_told(done, tmp_path, sentence):
    """One sentence, and nothing half-written."""
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr and done.stderr.count("\n") == 1, done.stderr
    left = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert not left and not (tmp_path / "run").exists()


def test_no_java(tmp_path):
    pytest.importorskip("pyspark", reason="pyspark is not installed: pip install '.[spark]'")
    done = train(tmp_path, JAVA_HOME=str(tmp_path))
    check_told(done, tmp_path, "Spark needs Java 17 or newer, and ")
    done = train(tmp_path, PATH="/nowhere")
    check_told(done, tmp_path, "there is no java here: install it or set JAVA_HOME.")


def test_a_java_that_cannot_start(tmp_path):
    pytest.importorskip("pyspark", reason="pyspark is not installed: pip install '.[spark]'")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/java").write_text("#!/bin/sh\necho 'Error: wrong version' >&2\nexit 1\n")
    (tmp_path / "bin/java").chmod(0o755)
    done = train(tmp_path, JAVA_HOME=str(tmp_path))
    check_told(done, tmp_path, "Spark cannot start with the master local[*] (Error: wrong version)")


def test_a_master_where_nobody_listens(tmp_path):
    pytest.importorskip("pyspark", reason="pyspark is not installed: pip install '.[spark]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        master = f"spark://127.0.0.1:{free.getsockname()[1]}"
        done = train(tmp_path, f"--data.master={master}")
    check_told(done, tmp_path, f"The Spark master {master} does not answer")


def test_a_master_that_says_nothing(tmp_path, monkeypatch):
    pytest.importorskip("pyspark", reason="pyspark is not installed: pip install '.[spark]'")
    if not shutil.which("java"):
        pytest.skip("there is no java here: install Java 17")
    code = (
        "import sys; from pathlib import Path; from tfrs_timirec.data.engines import spark\n"
        "spark.STARTING_SECONDS = 10\n"
        "with spark.session(sys.argv[1], Path(sys.argv[2])): pass"
    )
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        master = f"spark://127.0.0.1:{silent.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-c", code, master, str(tmp_path)], capture_output=True, text=True
        )
    assert f"with the master {master} (it did not answer within 10 s): check" in done.stderr


def test_what_either_engine_prepared_is_used_by_both(engine, tmp_path, monkeypatch):
    rows = "".join(f"{n % 4},{n % 3},{n}\n" for n in range(60))
    (tmp_path / "log.csv").write_text(HEADER + rows)
    settings = DataSettings(source=str(tmp_path / "log.csv"), folder=str(tmp_path / "data"))
    first = load(settings, 0)
    again = load(replace(settings, engine="spark", master="spark://nowhere:1"), 0)
    other = replace(settings, folder=str(tmp_path / "other"))
    by_spark = load(replace(other, engine="spark", master=MASTER), 0)
    # A second preparation would fail.
    monkeypatch.setattr("tfrs_timirec.data.readers.read_log", None)
    by_both = load(other, 0)
    assert again.digest == by_spark.digest == by_both.digest == first.digest
