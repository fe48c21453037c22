import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.stores import save
from tests.examples import examples
from tfrs_timirec.data.store import Blocks, SequenceStore
from tfrs_timirec.errors import UserError


def _store(**changes):
    fields = {
        "offsets": np.array([0, 3, 5]),
        "items": np.array([1, 2, 1, 3, 2], np.int32),
        "times": np.array([10, 20, 30, 5, 6]),
        "user_ids": pa.array(["007", "café"]),
        "item_ids": pa.array([30, 20, 10]),
        "interests": np.array([0, 1, 0, 2, 1], np.int32),
        "counts": np.array([1, 2, 0]),
    }
    return SequenceStore(**fields | changes)


def test_sizes_leave_the_padding_out():
    store = _store()
    assert (store.num_users, store.num_items) == (2, 3)


@pytest.mark.parametrize("changes", [{}, {"times": None, "interests": None, "counts": None}])
def test_what_is_saved_is_loaded(tmp_path, changes):
    store = _store(**changes)
    save(store, tmp_path / "deep" / "store", "abc")
    loaded = SequenceStore.load(tmp_path / "deep" / "store")
    for name in ("offsets", "items", "times", "interests", "counts"):
        expected, found = getattr(store, name), getattr(loaded, name)
        if expected is None:
            assert found is None
        else:
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)
    assert loaded.user_ids.equals(store.user_ids)
    assert loaded.item_ids.equals(store.item_ids)


def test_saving_replaces_and_leaves_nothing_else(tmp_path):
    save(_store(), tmp_path / "store", "abc")
    save(_store(times=None), tmp_path / "store", "def")
    assert SequenceStore.load(tmp_path / "store").times is None
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_failed_save_leaves_nothing(tmp_path):
    with pytest.raises(pa.ArrowInvalid):
        save(_store(times=np.array([1])), tmp_path / "store", "abc")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("changes", [{"times": np.array([1])}, {"counts": np.array([1])}])
def test_a_failed_save_leaves_what_was_there(tmp_path, changes):
    store = _store()
    save(store, tmp_path / "store", "abc")
    before = {path.name: path.read_bytes() for path in (tmp_path / "store").iterdir()}
    with pytest.raises(pa.ArrowInvalid):
        save(_store(**changes), tmp_path / "store", "def")
    assert {path.name: path.read_bytes() for path in (tmp_path / "store").iterdir()} == before
    assert SequenceStore.load(tmp_path / "store").digest == store.digest
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_the_catalogue_alone(tmp_path):
    store = _store()
    save(store, tmp_path / "store", "abc")
    loaded = SequenceStore.load(tmp_path / "store", with_users=False)
    assert (loaded.num_users, loaded.num_items, len(loaded.items)) == (0, 3, 0)
    assert loaded.offsets.tolist() == [0]
    assert loaded.item_ids.equals(store.item_ids)
    assert loaded.user_ids.type == store.user_ids.type
    assert loaded.counts.tolist() == store.counts.tolist()
    assert loaded.items.dtype == store.items.dtype


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"offsets": np.array([0, 2, 5])}, False),
        ({"items": np.array([1, 2, 1, 3, 3], np.int32)}, False),
        ({"times": np.array([10, 20, 30, 5, 7])}, False),
        ({"times": None}, False),
        ({"counts": None}, True),
        ({}, True),
    ],
)
def test_the_digest_tells_sequences_apart(changes, same):
    assert (_store(**changes).digest == _store().digest) is same


@pytest.mark.parametrize("name", ["interactions", "users", "items"])
@pytest.mark.parametrize("size", [None, 0, 60])
def test_a_damaged_file_is_named(tmp_path, name, size):
    folder = tmp_path / "store"
    save(_store(), folder, "abc")
    path = folder / f"{name}.parquet"
    if size is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(UserError, match=f"{name}.parquet is missing or damaged: restore it"):
        SequenceStore.load(folder)


def test_files_of_different_stores_do_not_fit(tmp_path):
    save(_store(), tmp_path / "a", "abc")
    save(_store(offsets=np.array([0, 3, 4])), tmp_path / "b", "abc")
    (tmp_path / "b" / "users.parquet").replace(tmp_path / "a" / "users.parquet")
    with pytest.raises(UserError, match="delete the folder"):
        SequenceStore.load(tmp_path / "a")


@st.composite
def stores(draw):
    """Users some of whom have no interactions, with and without times."""
    lengths = draw(st.lists(st.integers(0, 5), min_size=1, max_size=12))
    count = sum(lengths)
    numbers = st.lists(st.integers(1, 7), min_size=count, max_size=count)
    return _store(
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        items=np.array(draw(numbers), np.int32),
        times=draw(st.none() | numbers.map(lambda times: np.array(times, np.int64))),
        user_ids=pa.array([f"user {n}" for n in range(len(lengths))]),
        item_ids=pa.array(range(7)),
        interests=None,
        counts=None,
    )


@examples(50)
@given(stores(), st.integers(1, 13))
def test_blocks_are_what_is_loaded_some_users_at_a_time(store, size):
    with tempfile.TemporaryDirectory() as folder:
        save(store, Path(folder, "store"), "abc")
        blocks = list(Blocks(Path(folder, "store"), size))
    assert all(block.num_users == size for block in blocks[:-1])
    assert 1 <= blocks[-1].num_users <= size
    assert pa.chunked_array([block.user_ids for block in blocks]).equals(
        pa.chunked_array([store.user_ids])
    )
    lengths = np.concatenate([np.diff(block.offsets) for block in blocks])
    assert lengths.tolist() == np.diff(store.offsets).tolist()
    for block in blocks:
        assert block.item_ids.equals(store.item_ids)
        assert block.offsets[0] == 0 and block.offsets[-1] == len(block.items)
        assert block.offsets.dtype == np.int64
    for name in ("items", "times"):
        expected = getattr(store, name)
        if expected is None:
            assert all(block.times is None for block in blocks)
            continue
        found = np.concatenate([getattr(block, name) for block in blocks])
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["interactions", "users", "items"])
@pytest.mark.parametrize("size", [None, 0, 60])
def test_a_damaged_file_is_named_by_blocks(tmp_path, name, size):
    save(_store(), tmp_path / "store", "abc")
    path = tmp_path / "store" / f"{name}.parquet"
    if size is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(UserError, match=f"{name}.parquet is missing or damaged: restore it"):
        list(Blocks(tmp_path / "store", 1))


def test_blocks_of_files_that_do_not_fit(tmp_path):
    save(_store(offsets=np.array([0, 3, 6])), tmp_path / "a", "abc")
    with pytest.raises(UserError, match="interactions.parquet is missing or damaged"):
        list(Blocks(tmp_path / "a", 1))


def _by_id(store):
    """What each user had when, by the ids of the log."""
    ids = store.item_ids.to_pylist()
    return {
        user: [
            (ids[store.items[place] - 1], int(store.times[place])) for place in range(begin, end)
        ]
        for user, begin, end in zip(
            store.user_ids.to_pylist(), store.offsets, store.offsets[1:], strict=False
        )
    }


@st.composite
def logs_before_and_after(draw):
    """Users' items by id, and the same users in another order with more items, and new ones."""
    items = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6)
    before = draw(st.dictionaries(st.sampled_from("uvwxyz"), items, min_size=1))
    later = draw(st.dictionaries(st.sampled_from("uvwxyz"), items))
    after = {user: before.get(user, []) + later.get(user, []) for user in before | later}
    return before, dict(draw(st.permutations(list(after.items()))))


def _of_log(log):
    item_ids = list(dict.fromkeys(item for items in log.values() for item in items))
    flat = [item_ids.index(item) + 1 for items in log.values() for item in items]
    return SequenceStore(
        offsets=np.cumsum([0, *map(len, log.values())]),
        items=np.array(flat, np.int32),
        times=np.array([time for items in log.values() for time in range(len(items))], np.int64),
        user_ids=pa.array(list(log)),
        item_ids=pa.array(item_ids),
        interests=np.array(flat, np.int32) % 3,
    )


@given(logs_before_and_after())
def test_after_keeps_the_places_of_before(logs):
    before, new = map(_of_log, logs)
    after = new.after(before)
    assert after.user_ids[: before.num_users].equals(before.user_ids)
    assert after.item_ids[: before.num_items].equals(before.item_ids)
    assert sorted(after.item_ids.to_pylist()) == sorted(new.item_ids.to_pylist())
    assert _by_id(after) == _by_id(new)
    interests = {
        user: new.interests[new.offsets[n] : new.offsets[n + 1]].tolist()
        for n, user in enumerate(new.user_ids.to_pylist())
    }
    for n, user in enumerate(after.user_ids.to_pylist()):
        found = after.interests[after.offsets[n] : after.offsets[n + 1]].tolist()
        assert found == interests[user]
    assert after.items.dtype == np.int32
    for name in ("user_ids", "item_ids"):
        assert len(set(getattr(after, name).to_pylist())) == len(getattr(new, name))


def test_after_without_times():
    before = replace(_of_log({"u": ["a", "b"]}), times=None, interests=None)
    new = replace(_of_log({"v": ["b"], "u": ["b", "a"]}), times=None, interests=None)
    after = new.after(before)
    assert (after.times, after.interests) == (None, None)
    assert after.items.tolist() == [2, 1, 2]


BEFORE = {"u": ["a", "b", "c"], "v": ["b"]}


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        (
            {"u": ["a", "a", "b"], "v": ["b"]},
            "The log lacks 1 items that were there before, the first of them 'c': give all "
            "interactions, old and new.",
        ),
        (
            {"v": ["a", "b", "c"]},
            "The log lacks 1 users that were there before, the first of them 'u': give all "
            "interactions, old and new.",
        ),
        (
            {"v": ["b", "c"], "u": ["a", "b"]},
            "The log lacks interactions of the user 'u' that were there before: give all "
            "interactions, old and new.",
        ),
        (
            {1: ["a", "b", "c"]},
            "The ids of the users are int64 in this log and string in the one before: give the "
            "same ids.",
        ),
        (
            {"u": [1, 2, 3], "v": [2]},
            "The ids of the items are int64 in this log and string in the one before: give the "
            "same ids.",
        ),
    ],
)
def test_a_log_that_lacks_what_was_there_is_told(log, sentence):
    with pytest.raises(UserError) as error:
        _of_log(log).after(_of_log(BEFORE))
    assert str(error.value) == sentence


@given(logs_before_and_after())
def test_in_the_catalogue_of(logs):
    """Also of users that the other store has not, who had few of its items."""
    before, new = map(_of_log, logs)
    for one, other in ((new, before), (before, new)):
        found = one.in_the_catalogue_of(other)
        assert found.item_ids[: other.num_items].equals(other.item_ids)
        ids = set(one.item_ids.to_pylist()) | set(other.item_ids.to_pylist())
        assert sorted(found.item_ids.to_pylist()) == sorted(ids)
        assert _by_id(found) == _by_id(one)
        assert found.user_ids.equals(one.user_ids)


def test_another_type_of_ids_is_another_catalogue():
    with pytest.raises(UserError, match="The ids of the items are int64 in this log and string"):
        _of_log({"u": [1, 2, 3]}).in_the_catalogue_of(_of_log(BEFORE))


@pytest.mark.parametrize("name", ["interactions.parquet", "users.parquet", "items.parquet"])
def test_a_flipped_bit_is_told_wherever_it_is(tmp_path, name):
    save(_store(), tmp_path / "store", "abc")
    path = tmp_path / "store" / name
    whole = path.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        for read in (SequenceStore.load, lambda folder: list(Blocks(folder, 1))):
            with pytest.raises(UserError, match=f"{name} is missing or damaged: restore it"):
                read(tmp_path / "store")
