import numpy as np
import pyarrow as pa
import pytest

from tfrs_timirec.data.store import SequenceStore
from tfrs_timirec.errors import UserError


def _store(**changes):
    fields = {
        "offsets": np.array([0, 3, 5]),
        "items": np.array([1, 2, 1, 3, 2], np.int32),
        "times": np.array([10, 20, 30, 5, 6]),
        "user_ids": pa.array(["007", "café"]),
        "item_ids": pa.array([30, 20, 10]),
        "interests": np.array([0, 1, 0, 2, 1], np.int32),
    }
    return SequenceStore(**fields | changes)


def test_sizes_leave_the_padding_out():
    store = _store()
    assert (store.num_users, store.num_items) == (2, 3)


@pytest.mark.parametrize("changes", [{}, {"times": None, "interests": None}])
def test_what_is_saved_is_loaded(tmp_path, changes):
    store = _store(**changes)
    store.save(tmp_path / "deep" / "store", "abc")
    loaded = SequenceStore.load(tmp_path / "deep" / "store")
    for name in ("offsets", "items", "times", "interests"):
        expected, found = getattr(store, name), getattr(loaded, name)
        if expected is None:
            assert found is None
        else:
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)
    assert loaded.user_ids.equals(store.user_ids)
    assert loaded.item_ids.equals(store.item_ids)


def test_saving_replaces_and_leaves_nothing_else(tmp_path):
    _store().save(tmp_path / "store", "abc")
    _store(times=None).save(tmp_path / "store", "def")
    assert SequenceStore.load(tmp_path / "store").times is None
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_failed_save_leaves_nothing(tmp_path):
    with pytest.raises(pa.ArrowInvalid):
        _store(times=np.array([1])).save(tmp_path / "store", "abc")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["interactions", "users", "items"])
@pytest.mark.parametrize("size", [None, 0, 60])
def test_a_damaged_file_is_named(tmp_path, name, size):
    folder = tmp_path / "store"
    _store().save(folder, "abc")
    path = folder / f"{name}.parquet"
    if size is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(UserError, match=f"{name}.parquet is missing or damaged: delete the folder"):
        SequenceStore.load(folder)


def test_files_of_different_stores_do_not_fit(tmp_path):
    _store().save(tmp_path / "a", "abc")
    _store(offsets=np.array([0, 3, 4])).save(tmp_path / "b", "abc")
    (tmp_path / "b" / "users.parquet").replace(tmp_path / "a" / "users.parquet")
    with pytest.raises(UserError, match="delete the folder"):
        SequenceStore.load(tmp_path / "a")
