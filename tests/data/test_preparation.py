import logging
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import duckdb
import ibis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.stores import save
from tests.examples import examples
from tfrs_timirec.config import DataSettings
from tfrs_timirec.data import SequenceStore, load, summary
from tfrs_timirec.data.engines.duck import DuckDB
from tfrs_timirec.data.preparation import prepare
from tfrs_timirec.errors import UserError


def _prepare(rows, threads=2, **changes):
    """Prepares rows of (user, item, time) or (user, item, time, rating)."""
    names = ["user", "item", "time", "rating"][: len(rows[0])]
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    connection = ibis.duckdb.connect(threads=threads)
    connection.con.register("log", pa.table(columns | {"position": range(len(rows))}))
    with tempfile.TemporaryDirectory() as folder:
        settings = DataSettings(**changes)
        prepare(connection.table("log"), settings, DuckDB(connection), Path(folder), "a test")
        return SequenceStore.load(Path(folder))


def _sequences(store):
    items = [store.item_ids[i - 1].as_py() for i in store.items]
    return {
        user: items[begin:end]
        for user, begin, end in zip(
            store.user_ids.to_pylist(), store.offsets, store.offsets[1:], strict=False
        )
    }


def _reference(rows, core):
    """The core and the order in time, row by row."""
    while True:
        users = Counter(user for user, *_ in rows)
        items = Counter(item for _, item, *_ in rows)
        kept = [row for row in rows if users[row[0]] >= max(core, 3) and items[row[1]] >= core]
        if len(kept) == len(rows):
            break
        rows = kept
    sequences = {}
    for user, item, _ in sorted(rows, key=lambda row: row[2]):
        sequences.setdefault(user, []).append(item)
    return sequences


rows = st.lists(
    st.tuples(
        st.integers(0, 7), st.sampled_from(["a", "b", "c", "01", "1", "é"]), st.integers(0, 9)
    ),
    min_size=1,
    max_size=80,
)


@given(rows, st.integers(1, 6), st.sampled_from([1, 2]))
@examples(30)
def test_core_and_order_are_those_of_a_plain_reference(rows, core, threads):
    expected = _reference(rows, core)
    if not expected:
        with pytest.raises(UserError, match=f"Of {len(rows)} interactions read"):
            _prepare(rows, threads, core=core)
        return
    store = _prepare(rows, threads, core=core)
    assert _sequences(store) == expected
    assert store.user_ids.to_pylist() == sorted(expected)
    assert store.items.dtype == np.int32
    assert store.offsets.dtype == store.times.dtype == np.int64
    for begin, end in zip(store.offsets, store.offsets[1:], strict=False):
        assert (np.diff(store.times[begin:end]) >= 0).all()


def test_a_core_that_takes_many_rounds():
    # A chain: user n is kept by item n + 1 only, so that one goes each round.
    rows = [(n, n + k, 0) for n in range(40) for k in range(3)]
    with pytest.raises(UserError, match="Of 120 interactions read"):
        _prepare(rows, core=3)
    rows += [(100 + n, 1000 + k, 0) for n in range(3) for k in range(3)]
    assert sorted(_sequences(_prepare(rows, core=3))) == [100, 101, 102]


def test_parts_of_a_second_order_the_interactions():
    store = _prepare([(1, "b", 5.75), (1, "a", 5.25), (1, "c", 6.0)], core=1)
    assert _sequences(store) == {1: ["a", "b", "c"]}
    assert store.times.tolist() == [5, 5, 6]
    nanoseconds = [1_700_000_000_123_456_789 + n for n in range(3)]
    store = _prepare([(1, "abc"[n], time) for n, time in enumerate(nanoseconds)], core=1)
    assert store.times.tolist() == nanoseconds


def test_without_times_the_file_order_counts():
    store = _prepare([(1, "b"), (2, "a"), (1, "a"), (2, "b"), (1, "b"), (2, "c")], core=1)
    assert _sequences(store) == {1: ["b", "a", "b"], 2: ["a", "b", "c"]}
    assert store.times is None


def test_low_ratings_are_dropped():
    rows = [(1, item, 0, rating) for item, rating in zip("abcd", [4, 3.5, 5, 4], strict=True)]
    store = _prepare(rows, core=1, min_rating=4.0, rating_column="stars")
    assert _sequences(store) == {1: ["a", "c", "d"]}
    with pytest.raises(UserError, match="Of 4 interactions read, 1 are left by data.min_rating"):
        _prepare(rows, core=1, min_rating=5.0, rating_column="stars")


def test_a_threshold_needs_ratings():
    with pytest.raises(UserError, match="data.rating_column is not"):
        _prepare([(1, "a", 0)], min_rating=4.0)


def test_a_log_of_sequences_has_no_ratings(tmp_path):
    (tmp_path / "log.txt").write_text("1 a b c\n")
    settings = DataSettings(str(tmp_path / "log.txt"), folder=str(tmp_path / "data"))
    with pytest.raises(UserError, match="sequences has no ratings"):
        load(replace(settings, min_rating=4.0, rating_column="stars"), seed=0)


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "my log.csv"
    lines = [f"{user},{item},{item}" for user in range(6) for item in range(6)]
    path.write_text("\n".join(["user_id,item_id,timestamp", *lines]))
    return DataSettings(source=str(path), folder=str(tmp_path / "data"))


def test_prepared_sequences_are_used_again(log, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    first = load(log, seed=0)
    assert "Preparing" in caplog.text
    monkeypatch.setattr("tfrs_timirec.data.readers.read_log", None)
    again = load(log, seed=1)
    assert "Using" in caplog.text
    np.testing.assert_array_equal(first.items, again.items)
    assert [path.name for path in Path(log.folder).iterdir()] == ["prepared"]


def test_what_goes_wrong_in_the_engine_is_told(log, monkeypatch):
    def fail(*args):
        raise duckdb.ConversionException("no such number.")

    monkeypatch.setattr("tfrs_timirec.data.preparation.prepare", fail)
    with pytest.raises(UserError, match=r"my-log-csv-\w+ cannot be prepared \(no such number\)"):
        load(log, seed=0)


def test_a_change_of_setting_or_file_is_noticed(log):
    assert load(log, seed=0).num_users == 6
    with pytest.raises(UserError, match="lower data.core"):
        load(replace(log, core=7), seed=0)
    with open(log.source, "a") as file:
        file.write("".join(f"\n9,{item},{item}" for item in range(6)))
    assert load(log, seed=0).num_users == 7
    assert len(list(Path(log.folder, "prepared").iterdir())) == 2


def test_a_glob_need_not_name_anything(log):
    whole = Path(log.source).parent / "whole"
    whole.mkdir()
    Path(log.source).rename(whole / "log.csv")
    store = load(replace(log, source=str(whole / "*")), seed=0)
    assert store.num_users == 6
    assert [path.name[:4] for path in Path(log.folder, "prepared").iterdir()] == ["log-"]


def test_a_folder_that_cannot_be_written_to(log):
    with pytest.raises(UserError, match="set data.folder to a folder that can"):
        load(replace(log, folder=log.source), seed=0)


def test_damaged_sequences_are_told(log):
    load(log, seed=0)
    (path,) = Path(log.folder, "prepared").glob("*/items.parquet")
    path.write_bytes(b"PAR1")
    with pytest.raises(UserError, match="items.parquet is missing or damaged"):
        load(log, seed=0)


def test_synthetic_sequences_hang_on_the_seed():
    assert not np.array_equal(load(DataSettings(), 0).items, load(DataSettings(), 1).items)


def test_importing_the_package_is_light():
    code = (
        "import sys, tfrs_timirec.data; "
        "assert not {'ibis', 'duckdb', 'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "core", "counts"),
    [
        ("beauty.csv", 5, (22_363, 12_101, 198_502)),
        ("beauty.txt", 5, (22_363, 12_101, 198_502)),
        ("ml-100k.inter", 1, (943, 1_682, 100_000)),
    ],
)
def test_public_logs(tmp_path, shared_data, name, core, counts):
    path = shared_data(name)
    store = load(DataSettings(source=str(path), core=core, folder=str(tmp_path)), seed=0)
    assert (store.num_users, store.num_items, len(store.items)) == counts


def _told(rows, **changes) -> str:
    return summary(_prepare(rows, **changes), DataSettings(**changes))


def test_what_was_read_dropped_and_kept_is_told():
    kept = [(user, item, time, 5.0) for time, item in enumerate("abc") for user in range(3)]
    assert _told(kept, core=3) == "The log has 9 interactions of 3 users with 3 items."
    dropped = [(3, "a", 0, 5.0), (0, "d", 0, 1.0), (4, "e", 0, 1.0)]
    assert _told(kept + dropped, core=3, rating_column="rating", min_rating=3) == (
        "Read 12 interactions of 5 users with 5 items; data.min_rating (3) drops 2 interactions "
        "and data.core (3) drops 1. Kept 9 interactions of 3 users with 3 items."
    )
    assert "5 items; data.core (3) drops 3. Kept 9" in _told(kept + dropped, core=3)


def test_what_was_read_is_known_after_loading(tmp_path):
    store = _prepare([(user, item, 0) for item in "abcd" for user in range(3)], core=3)
    save(store, tmp_path / "store", "fingerprint")
    assert SequenceStore.load(tmp_path / "store").read == store.read == (12, 3, 4, 12)
