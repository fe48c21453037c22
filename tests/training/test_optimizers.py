"""What each optimiser does to the weights, and that it goes on exactly from a checkpoint."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.variants import ITEMS, LENGTH, make
from tfrs_timirec.config import TrainingSettings, settings_named
from tfrs_timirec.errors import UserError
from tfrs_timirec.training import checkpoint
from tfrs_timirec.training.optimizers import Adam, LazyAdam, RowwiseAdagrad
from tfrs_timirec.training.step import STEPS
from tfrs_timirec.training.workers import ALONE

ROWS = 16
SPARSE = ["lazy_adam", "rowwise_adagrad"]


def batch(seed: int, most: int = ITEMS) -> dict[str, np.ndarray]:
    """Targets whose items, taken together, are all from 1 to `most`."""
    rng = np.random.default_rng(seed)
    items = rng.permutation(np.resize(np.arange(1, most + 1), ROWS * (LENGTH + 2)))
    items = items.reshape(ROWS, LENGTH + 2).astype(np.int32)
    history = np.where(np.arange(LENGTH) < rng.integers(2, LENGTH + 1, (ROWS, 1)), items[:, 2:], 0)
    weight = np.ones(ROWS, np.float32)
    return {
        "history": history,
        "positive": items[:, 0],
        "negative": items[:, 1],
        "weight": weight,
    }


def step_of(model, optimizer: str, **settings):
    training = TrainingSettings(optimizer=optimizer, learning_rate=0.01, **settings)
    return STEPS[optimizer](model, training, 10, ALONE)


def test_adam_is_that_of_keras():
    rng = np.random.default_rng(0)
    start = rng.standard_normal((5, 3)).astype(np.float32)
    ours, theirs = (keras.Variable(start, name=name) for name in ("ours", "theirs"))
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 7)
    optimizer, reference = Adam([ours], schedule), keras.optimizers.Adam(schedule, epsilon=1e-8)
    apply = tf.function(optimizer.apply, autograph=False)
    for _ in range(9):
        gradient = tf.constant(rng.standard_normal((5, 3)).astype(np.float32))
        apply([gradient])
        reference.apply([gradient], [theirs])
        np.testing.assert_allclose(ours.value, theirs.value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "variant",
    ["timirec", *(pytest.param(name, marks=pytest.mark.long) for name in ("mind", "gru4rec"))],
)
def test_lazy_adam_is_adam_where_all_rows_are_touched(variant, eager):
    dense, lazy = make(variant, stddev=0.1), make(variant, stddev=0.1)
    steps = [step_of(model, name) for model, name in ((dense, "adam"), (lazy, "lazy_adam"))]
    for seed in range(8):
        one, other = (step(batch(seed)) for step in steps)
        assert one == (pytest.approx(other[0], rel=1e-4), ROWS)
    for table, other in zip(dense.tables, lazy.tables, strict=True):
        np.testing.assert_allclose(table.value[1:], other.value[1:], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("optimizer", STEPS)
def test_weight_decay_is_a_gradient_towards_zero(optimizer):
    model = make("timirec", stddev=0.1)
    before = [np.array(table.value) for table in model.tables]
    # Beside so much of it the loss has no say.
    step_of(model, optimizer, weight_decay=1e3)(batch(0, most=20))
    for was, table in zip(before, model.tables, strict=True):
        moved = np.asarray(table.value) - was
        assert (np.sign(moved[1:21]) == -np.sign(was[1:21])).mean() > 0.99
        # Of the others only the one that changes all.
        assert (moved[21:] != 0).all() == (optimizer == "adam") == (moved[21:] != 0).any()


@pytest.mark.parametrize("optimizer", SPARSE)
def test_rows_that_are_not_touched_stay(optimizer):
    model = make("timirec", stddev=0.1)
    step = step_of(model, optimizer)
    before = [np.array(table.value) for table in model.tables]
    for seed in range(3):
        step(batch(seed, most=20))
    assert len(before) == 2
    for was, table in zip(before, model.tables, strict=True):
        np.testing.assert_array_equal(table.value[21:], was[21:])
        assert (np.asarray(table.value)[1:21] != was[1:21]).any(axis=1).sum() > 15


def test_the_rules_are_those_of_the_papers():
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((4, 3))
    mean, square, total = np.zeros((4, 3)), np.zeros((4, 3)), np.zeros((4, 1))
    lazy, adagrad = (rows, [mean, square]), (rows, [total])
    expected_lazy = expected_adagrad = rows
    for number in range(1, 5):
        gradient = rng.standard_normal((4, 3))
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        corrected = mean / (1 - 0.9**number), square / (1 - 0.999**number)
        expected_lazy = expected_lazy - 0.1 * corrected[0] / np.sqrt(corrected[1])
        total = total + (gradient**2).mean(axis=1, keepdims=True)
        expected_adagrad = expected_adagrad - 0.1 * gradient / np.sqrt(total)
        values = [tf.constant(gradient), tf.constant(0.1, tf.float64)]
        lazy = LazyAdam.update(*lazy, *values, tf.constant(float(number), tf.float64))
        adagrad = RowwiseAdagrad.update(*adagrad, *values, None)
    np.testing.assert_allclose(lazy[0], expected_lazy, rtol=1e-4)
    np.testing.assert_allclose(adagrad[0], expected_adagrad, rtol=1e-4)


@pytest.mark.parametrize("optimizer", STEPS)
def test_it_goes_on_exactly_from_a_checkpoint(optimizer, tmp_path, eager):
    # With dropout, whose chance is a part of the state.
    models = []
    for _ in range(2):
        keras.utils.set_random_seed(0)
        models.append(make("timirec_mind", stddev=0.1))
    whole, first = (step_of(model, optimizer, schedule="cosine") for model in models)
    losses = [whole(batch(seed))[0] for seed in range(4)]
    assert [first(batch(seed))[0] for seed in range(2)] == losses[:2]
    checkpoint.save(tmp_path / "state.npz", first.state, {})
    later = step_of(make("timirec_mind", seed=5), optimizer, schedule="cosine")
    checkpoint.load(tmp_path / "state.npz", later.state)
    assert [later(batch(seed))[0] for seed in range(2, 4)] == losses[2:]
    for name, value in later.state.items():
        np.testing.assert_array_equal(value.value, whole.state[name].value, name)


@pytest.mark.parametrize("optimizer", SPARSE)
def test_an_objective_that_touches_all_items_is_refused(optimizer):
    with pytest.raises(UserError, match="training.optimizer is .* softmax learns from all"):
        settings_named("timirec", {"optimizer": optimizer, "objective": "softmax"})
