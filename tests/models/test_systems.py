"""What all systems keep to: the contract, the settings, the loss, checkpoints."""

import re
from dataclasses import fields, replace
from typing import get_args

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tfrs_timirec.config import ModelSettings, SystemName, TrainingSettings
from tfrs_timirec.errors import UserError
from tfrs_timirec.models.losses import distillation_loss, label_aware_interest
from tfrs_timirec.models.popularity import Popularity
from tfrs_timirec.models.systems import SYSTEMS, check_settings
from tfrs_timirec.training import checkpoint
from tfrs_timirec.training.step import TrainingStep

ITEMS, SIZE, LENGTH, INTERESTS, BATCH = 30, 8, 6, 3, 16
VARIANTS = {
    "youtube_dnn": {},
    "gru4rec": {},
    "mind": {},
    "mind, p = 2": {"system": "mind", "label_power": 2.0},
    "comirec": {},
    "comirec+": {"system": "comirec", "transformer": True, "dropout": 0.2},
    "sasrec": {"dropout": 0.2},
    "tisasrec": {"dropout": 0.2, "max_interval": 9},
    "timirec": {},
    "timirec, joint": {"system": "timirec", "pretraining": False, "stop_gradient": False},
    "timirec+, softmax": {
        "system": "timirec",
        "transformer": True,
        "dropout": 0.2,
        "objective": "sampled_softmax",
    },
}
MANY_VECTORS = ("mind", "comirec")
variants = pytest.mark.parametrize("variant", VARIANTS)


def make(variant, seed=0, stddev=0.5):
    settings = ModelSettings(
        system=variant, embedding_size=SIZE, num_interests=INTERESTS, history_length=LENGTH
    )
    settings = replace(settings, **VARIANTS[variant])
    return SYSTEMS[settings.system](ITEMS, settings, stddev, seed)


def histories(seed=0, batch=BATCH):
    """Histories int32 [batch, LENGTH] of 1 to LENGTH items, and times int64 of that shape."""
    rng = np.random.default_rng(seed)
    real = np.arange(LENGTH) < rng.integers(1, LENGTH + 1, (batch, 1))
    real[0] = True
    items = np.where(real, rng.integers(1, ITEMS + 1, real.shape), 0).astype(np.int32)
    return items, np.where(real, 10**9 + rng.integers(0, 3, real.shape).cumsum(axis=1), 0)


def batch_of(seed=0):
    items, times = histories(seed)
    rng = np.random.default_rng(seed)
    positive, negative = rng.integers(1, ITEMS + 1, (2, BATCH)).astype(np.int32)
    return {"history": items, "times": times, "positive": positive, "negative": negative}


def queries(model, items, times):
    given_to_it = (items, times) if model.needs_times else (items,)
    return np.asarray(model.query_vectors(*given_to_it))


def test_the_names_are_those_of_the_settings():
    assert tuple(SYSTEMS) == get_args(SystemName)


def test_the_settings_tell_which_systems_have_them():
    documented = dict(re.findall(r"(\w+): ([^:]+?)(?=\n\s+\w+: |$)", ModelSettings.__doc__))
    for field in fields(ModelSettings):
        having = [name for name, system in SYSTEMS.items() if field.name in system.uses]
        told = re.search(r"\(([\w,\s]+)\)\.\s*$", documented[field.name])
        assert (re.findall(r"\w+", told[1]) if told else []) == sorted(having), field.name


@pytest.mark.parametrize(
    ("system", "changes", "said"),
    [
        ("gru4rec", {"transformer": True}, "model.transformer is True, but the system gru4rec"),
        ("mind", {"dropout": 0.5}, "one of comirec, sasrec, tisasrec, timirec"),
        ("comirec", {"temperature": 1.0}, "no such setting"),
        ("popularity", {"num_interests": 2}, "num_interests"),
        ("sasrec", {"max_interval": 4}, "max_interval"),
    ],
)
def test_a_setting_that_the_system_does_not_have_is_refused(system, changes, said):
    with pytest.raises(UserError, match=said):
        check_settings(ModelSettings(system=system, **changes))


def test_settings_that_the_system_has_are_taken():
    for name, changes in VARIANTS.items():
        check_settings(replace(ModelSettings(system=name.split(",")[0].strip("+")), **changes))


@variants
def test_the_shape_of_the_vectors(variant):
    model = make(variant)
    many = INTERESTS if variant.startswith(MANY_VECTORS) else 1
    assert queries(model, *histories()).shape == (BATCH, many, SIZE)
    assert model.item_vectors().shape == (ITEMS, SIZE)
    assert model.phases()[-1] is model


MODELS = {variant: make(variant) for variant in VARIANTS}


@variants
@hypothesis_settings(deadline=None, max_examples=5)
@given(st.integers(0, 2**32 - 1))
def test_padding_changes_nothing(variant, seed):
    model = MODELS[variant]
    items, times = histories(seed)
    length = np.count_nonzero(items, axis=1).max()
    expected = queries(model, items, times)
    for width in {length, LENGTH}:
        narrow = queries(model, items[:, :width], times[:, :width])
        np.testing.assert_allclose(narrow, expected, rtol=1e-4, atol=1e-5)
    short = np.count_nonzero(items, axis=1) <= 2
    narrow = queries(model, items[short, :2], times[short, :2])
    np.testing.assert_allclose(narrow, expected[short], rtol=1e-4, atol=1e-5)


@variants
def test_whether_the_order_of_the_older_items_matters(variant):
    model = make(variant)
    items, times = np.array([[3, 7, 11, 2, 9, 5]], np.int32), np.array([[1, 3, 3, 4, 9, 11]])
    other = np.array([[11, 2, 3, 9, 7, 5]], np.int32)
    matters = np.abs(queries(model, other, times) - queries(model, items, times)).max() > 1e-3
    assert matters == (variant not in ("youtube_dnn", "comirec"))


@variants
def test_the_newest_item_matters(variant):
    model = make(variant)
    items, times = histories()
    other = items.copy()
    other[0, -1] = items[0, -1] % ITEMS + 1
    changed = np.abs(queries(model, other, times) - queries(model, items, times)).max(axis=(1, 2))
    assert changed[0] > 1e-3
    assert changed[1:].max() == 0


def test_tisasrec_reads_intervals_alone():
    model, (items, times) = make("tisasrec"), histories()
    expected = queries(model, items, times)
    np.testing.assert_array_equal(queries(model, items, times * 60), expected)
    np.testing.assert_array_equal(queries(model, items, times + 10**12), expected)
    other = times + np.arange(LENGTH) ** 2
    assert np.abs(queries(model, items, other) - expected).max() > 1e-3


@pytest.mark.parametrize("variant", [v for v in VARIANTS if not v.startswith("timirec")])
def test_the_loss_is_that_of_the_vector_that_matches_best(variant):
    model, inputs = make(variant), batch_of()
    vectors = queries(model, inputs["history"], inputs["times"]).astype("float64")
    items = np.asarray(model.items.embeddings.value, "float64")
    expected = []
    for user in range(BATCH):
        positive, negative = items[inputs["positive"][user]], items[inputs["negative"][user]]
        matches = vectors[user] @ positive
        if variant == "mind, p = 2":
            attention = np.exp(np.sign(matches) * matches**2)
            query = (attention / attention.sum()) @ vectors[user]
        else:
            query = vectors[user][matches.argmax()]
        expected.append(-np.log(1 / (1 + np.exp(-(query @ positive - query @ negative)))))
    np.testing.assert_allclose(model.compute_loss(inputs), expected, rtol=1e-4, atol=1e-5)


def test_a_higher_power_comes_closer_to_the_best_matching_interest():
    rng = np.random.default_rng(0)
    interests = 2 * rng.normal(size=(BATCH, INTERESTS, SIZE)).astype("float32")
    target = rng.normal(size=(BATCH, SIZE)).astype("float32")
    best, *others = (
        np.asarray(label_aware_interest(interests, target, power)) for power in (None, 3, 1, 1e-9)
    )
    distances = [np.linalg.norm(found - best) for found in others]
    assert distances == sorted(distances) and distances[0] < distances[-1]
    # Near p = 0 only the signs of the matches count.
    signs = np.sign(np.einsum("bkd,bd->bk", interests, target))
    weights = np.exp(signs) / np.exp(signs).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(others[-1], np.einsum("bk,bkd->bd", weights, interests), rtol=1e-4)


@pytest.mark.parametrize("stop_gradient", [True, False])
def test_the_gradient_of_the_soft_labels(stop_gradient):
    rng = np.random.default_rng(0)
    similarity, logits = (tf.constant(rng.normal(size=(4, 3))) for _ in range(2))
    with tf.GradientTape() as tape:
        tape.watch([similarity, logits])
        loss = tf.reduce_sum(distillation_loss(similarity, logits, 0.5, stop_gradient))
    of_labels, of_logits = tape.gradient(loss, [similarity, logits])
    assert np.abs(of_logits).max() > 0.1
    if stop_gradient:
        assert of_labels is None
        return
    # d KL / d w_k = p_k / T · (log p_k − log q_k − KL)
    p, q = (tf.nn.softmax(x / 0.5).numpy() for x in (similarity, logits))
    kl = (p * np.log(p / q)).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(of_labels, p / 0.5 * (np.log(p / q) - kl))


def test_joint_training_has_one_phase():
    assert [len(make(variant).phases()) for variant in ("timirec", "timirec, joint")] == [2, 1]


@pytest.fixture
def eager():
    """Steps without XLA: its compilation takes seconds, and the commands are tested with it."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@variants
def test_it_learns_and_its_checkpoint_is_all_of_it(variant, eager, tmp_path):
    inputs = {**batch_of(), "weight": np.ones(BATCH, np.float32)}
    model = make(variant, stddev=0.1)
    before = {name: np.array(variable.value) for name, variable in model.state.items()}
    step = TrainingStep(model, TrainingSettings(learning_rate=0.03), steps_an_epoch=1)
    losses = [step(inputs) for _ in range(12)]
    assert np.mean(losses[-3:]) < 0.8 * losses[0]
    unmoved = [
        name
        for name, variable in model.state.items()
        if variable.trainable and np.array_equal(before[name], variable.value)
    ]
    assert unmoved == []

    checkpoint.save(tmp_path / "best.npz", model.state, {})
    other = make(variant, seed=1)
    assert other.state.keys() == model.state.keys()
    expected = queries(model, *histories(1))
    assert np.abs(queries(other, *histories(1)) - expected).max() > 1e-3
    checkpoint.load(tmp_path / "best.npz", other.state)
    np.testing.assert_array_equal(queries(other, *histories(1)), expected)
    np.testing.assert_array_equal(other.item_vectors(), model.item_vectors())


def test_the_cosine_ends_at_zero(eager):
    inputs = {**batch_of(), "weight": np.ones(BATCH, np.float32)}
    model = make("youtube_dnn")
    settings = TrainingSettings(learning_rate=0.03, schedule="cosine", max_epochs=2)
    step = TrainingStep(model, settings, steps_an_epoch=3)
    moved = []
    for _ in range(7):
        before = np.array(model.item_vectors())
        step(inputs)
        moved.append(np.abs(model.item_vectors() - before).max())
    assert moved[0] == pytest.approx(0.03, rel=1e-3)
    assert moved[6] == 0 < moved[5] < moved[1]


@pytest.mark.parametrize("variant", ["mind", "comirec+", "sasrec", "tisasrec", "timirec+, softmax"])
def test_chance_is_part_of_the_state(variant):
    """A restored model draws what the saved one would have drawn next."""
    model, other, inputs = make(variant), make(variant, seed=1), batch_of()
    model.compute_loss(inputs, training=True)
    for name, variable in other.state.items():
        variable.assign(model.state[name].value)
    expected = np.asarray(model.compute_loss(inputs, training=True))
    np.testing.assert_array_equal(other.compute_loss(inputs, training=True), expected)
    again = np.asarray(model.compute_loss(inputs, training=True))
    assert np.abs(again - expected).max() > 1e-6


def test_popularity_has_nothing_to_learn():
    model = Popularity(np.array([3, 1, 2]))
    assert (model.state, model.phases()) == ({}, [])
    scores = queries(model, *histories())[:, 0] @ np.asarray(model.item_vectors()).T
    assert scores.tolist() == [[3, 1, 2]] * BATCH
