"""A user's targets in one pass have the losses and gradients that they have one by one."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tests.data.stores import store_of
from tests.models.variants import ITEMS, LENGTH, VARIANTS, make, quick_ones
from tfrs_timirec.config import settings_named
from tfrs_timirec.data.task import Share, Task

LEARNED = [variant for variant in VARIANTS if variant != "popularity"]
SETTINGS = {"negatives": 2, "history_length": LENGTH, "split": "none"}


def task_of(users: list[list[int]], unit: str) -> Task:
    times = [list(range(len(items))) for items in users]
    named = settings_named("tisasrec", {**SETTINGS, "unit": unit})
    return Task.of(store_of(users, ITEMS, times), named, reads_times=True)


def one_by_one(windows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The targets of windows, each with the items before it."""
    rows, places = np.nonzero(windows["weight"])
    seen = np.arange(windows["history"].shape[1]) <= places[:, None]
    taken = {name: np.where(seen, windows[name][rows], 0) for name in ("history", "times")}
    return taken | {name: windows[name][rows, places] for name in ("positive", "negative")}


def loss_and_gradients(model, inputs, weight):
    weights = [variable.value for variable in model.state.values() if variable.trainable]
    with tf.GradientTape() as tape:
        losses = model.compute_loss(inputs)
        total = tf.reduce_sum(losses * weight)
    gradients = tape.gradient(total, weights)
    return losses, [np.asarray(tf.convert_to_tensor(gradient)) for gradient in gradients]


@pytest.mark.parametrize("variant", quick_ones(LEARNED))
def test_losses_and_gradients_are_those_of_instances(variant):
    rng = np.random.default_rng(0)
    users = [rng.permutation(ITEMS)[:n].tolist() for n in (2, 3, 5, LENGTH + 1, 4, 7)]
    users = [[item + 1 for item in items] for items in users]
    model = make(variant, stddev=0.5)
    for windows in task_of(users, "user").batches(4 * LENGTH, np.random.default_rng(1)):
        instances = one_by_one(windows)
        if model.objective.shares_negatives:
            # Padding has negatives as well, which the batch shares.
            instances["negative"] = windows["negative"].ravel()
        weight = windows.pop("weight")
        found, of_windows = loss_and_gradients(model, windows, weight)
        expected, of_instances = loss_and_gradients(model, instances, np.ones(int(weight.sum())))
        np.testing.assert_allclose(found[weight > 0], expected, rtol=1e-5, atol=1e-6)
        for one, other in zip(of_windows, of_instances, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_gradients_are_numbers_where_the_vector_of_padding_is_zero():
    model = make("timirec, joint", stddev=0.5)
    for table in model.tables:
        table.assign(np.asarray(table) * (np.arange(ITEMS + 1) > 0)[:, None])
    (windows,) = task_of([[1, 2, 3], [4, 5, 6, 7, 8]], "user").batches(
        2 * LENGTH, np.random.default_rng(1)
    )
    assert (windows["weight"] == 0).any()
    weights = [variable.value for variable in model.state.values() if variable.trainable]

    # As compiled: XLA's derivative of Keras' normalize is none at zero.
    @tf.function(jit_compile=True, autograph=False)
    def gradients():
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(model.compute_loss(windows) * windows["weight"])
        return tape.gradient(total, weights)

    for each in gradients():
        assert np.isfinite(tf.convert_to_tensor(each)).all()


@given(
    st.lists(st.lists(st.integers(1, ITEMS), min_size=1, max_size=4 * LENGTH), min_size=1),
    st.integers(1, 3),
    st.integers(1, 4),
)
def test_each_target_comes_once(users, count, windows):
    size = count * windows * LENGTH
    task = task_of(users, "user")
    found = []
    for rank in range(count):
        share = Share(rank, count)
        batches = list(task.batches(size, np.random.default_rng(2), share))
        assert len(batches) == task.num_batches(size, share)
        for batch in batches:
            assert batch["weight"].size <= size // count
            found += zip(
                one_by_one(batch)["history"].tolist(), one_by_one(batch)["positive"], strict=True
            )
    expected = []
    for items in users:
        for target in range(1, len(items)):
            begin = (target - 1) // LENGTH * LENGTH
            history = items[begin:target]
            expected.append((history + [0] * (LENGTH - len(history)), items[target]))
    padded = [(history + [0] * (LENGTH - len(history)), item) for history, item in found]
    assert sorted(padded) == sorted(expected)


@given(st.lists(st.lists(st.integers(1, ITEMS), min_size=2, max_size=9), min_size=1))
def test_negatives_are_untouched(users):
    for batch in task_of(users, "user").batches(LENGTH, np.random.default_rng(3)):
        for history, positive, negative, weight in zip(
            *(batch[name] for name in ("history", "positive", "negative", "weight")), strict=True
        ):
            if weight.any():
                assert not {*history.tolist(), *positive.tolist()} & {*negative.tolist()} - {0}
