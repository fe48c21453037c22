"""Sequences in several shards are the same sequences, and train within bounds."""

import shutil
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.stores import save, store_of
from tfrs_timirec.config import DataSettings, settings_named
from tfrs_timirec.data import load
from tfrs_timirec.data.store import Blocks, SequenceStore, Shard
from tfrs_timirec.data.task import ALL, Share, Task
from tfrs_timirec.errors import UserError

ITEMS = 9


@st.composite
def sharded(draw):
    """Users' sequences in one shard, and the same in several."""
    lengths = draw(st.lists(st.integers(3, 9), min_size=2, max_size=12))
    users = [draw(st.lists(st.integers(1, ITEMS), min_size=n, max_size=n)) for n in lengths]
    whole = store_of(users, ITEMS, [list(range(n)) for n in lengths])
    cuts = draw(st.lists(st.integers(1, len(users) - 1), min_size=1, unique=True).map(sorted))
    bounds = [0, *cuts, len(users)]
    shards = tuple(Shard(end - begin, sum(lengths[begin:end])) for begin, end in pairwise(bounds))
    return whole, replace(whole, shards=shards)


SETTINGS = settings_named("popularity", {"negatives": 4, "history_length": 5, "seed": 3})


def seen(task, size, share=ALL):
    """Each instance of an epoch: its history and its target."""
    found = []
    for inputs in task.batches(size, np.random.default_rng(0), share):
        for history, positive, negative, weight in zip(
            *(inputs[name] for name in ("history", "positive", "negative", "weight")), strict=True
        ):
            if weight:
                found.append((*[int(item) for item in history if item], int(positive)))
                assert negative not in (positive, *history) or negative == 0
    return sorted(found)


@given(sharded(), st.integers(1, 7))
def test_an_epoch_has_the_same_instances(stores, size):
    whole, shards = (Task.of(store, SETTINGS, False) for store in stores)
    assert shards.num_training == whole.num_training == len(whole.training)
    assert seen(shards, size) == seen(whole, size)
    for task in (whole, shards):
        batches = list(task.batches(size, np.random.default_rng(1)))
        assert len(batches) == task.num_batches(size)
        again = list(task.batches(size, np.random.default_rng(1)))
        for inputs, others in zip(batches, again, strict=True):
            for name in inputs:
                np.testing.assert_array_equal(inputs[name], others[name])


@given(sharded(), st.integers(2, 4), st.integers(1, 3))
def test_workers_share_an_epoch(stores, count, rows):
    for store in stores:
        task = Task.of(store, SETTINGS, False)
        shares = [Share(rank, count) for rank in range(count)]
        instances = [instance for share in shares for instance in seen(task, rows * count, share)]
        assert sorted(instances) == seen(task, rows * count)
        for share in shares:
            batches = list(task.batches(rows * count, np.random.default_rng(1), share))
            assert len(batches) == task.num_batches(rows * count, share)
            assert all(len(batch["weight"]) == rows for batch in batches)
        validated = [part for share in shares for part in task.validations(share)]
        histories = [targets.histories(np.arange(len(targets)), 5) for targets, _ in validated]
        whole = [targets.histories(np.arange(len(targets)), 5) for targets, _ in task.validations()]
        assert sorted(np.concatenate(histories).tolist()) == sorted(np.concatenate(whole).tolist())


@given(sharded())
def test_counts_and_targets_are_the_same(stores):
    whole, shards = (Task.of(store, SETTINGS, False) for store in stores)
    np.testing.assert_array_equal(shards.counts, whole.counts)
    assert shards.has_negatives == whole.has_negatives
    for part in ("validation", "test"):
        targets = [getattr(task, part).positives for task in shards.parts()]
        assert np.concatenate(targets).tolist() == getattr(whole, part).positives.tolist()
    for task in shards.parts():
        for drawn, user in zip(task.negatives.tolist(), range(task.store.num_users), strict=True):
            begin, end = task.store.offsets[user : user + 2]
            assert not set(drawn) & set(task.store.items[begin:end].tolist())


@pytest.fixture
def log(tmp_path):
    rng = np.random.default_rng(0)
    rows = [f"u{rng.integers(40):02},{rng.integers(30)},{rng.integers(99)}" for _ in range(1500)]
    (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]))
    return DataSettings(source=str(tmp_path / "log.csv"), folder=str(tmp_path / "data"))


def test_what_is_prepared_in_shards_is_the_same(log, tmp_path):
    whole = load(log, 0)
    shards = load(replace(log, shard_size=200), 0)
    assert whole.num_parts == 1 and 6 <= shards.num_parts <= 8
    assert shards.digest == whole.digest
    assert shards.user_ids.equals(whole.user_ids)
    assert sum(shard.users for shard in shards.shards) == whole.num_users
    assert sum(shard.interactions for shard in shards.shards) == len(whole.items)
    save(shards, tmp_path / "again", "abc")
    again = SequenceStore.load(tmp_path / "again")
    assert (again.digest, again.shards) == (whole.digest, shards.shards)
    blocks = list(Blocks(tmp_path / "again", 3))
    assert np.concatenate([block.items for block in blocks]).tolist() == whole.items.tolist()
    assert [id_ for block in blocks for id_ in block.user_ids.to_pylist()] == (
        whole.user_ids.to_pylist()
    )


def test_a_user_may_have_more_than_a_shard(log):
    whole = load(log, 0)
    shards = load(replace(log, shard_size=1), 0)
    assert shards.num_parts == whole.num_users
    assert shards.digest == whole.digest


@pytest.mark.parametrize("damage", ["lost", "another"])
def test_a_shard_that_is_lost_or_of_another_preparation(log, tmp_path, damage):
    changed = replace(log, shard_size=500)
    load(changed, 0)
    load(replace(log, shard_size=400), 0)
    (path, other) = sorted((tmp_path / "data" / "prepared").glob("*/interactions-00001.parquet"))
    if damage == "lost":
        path.unlink()
    else:
        shutil.copy(other, path)
    found = []
    for settings_ in (changed, replace(log, shard_size=400)):
        try:
            load(settings_, 0)
        except UserError as error:
            found.append(str(error))
    (told,) = found
    assert told.startswith(f"{path} is missing or damaged: restore it or")
