"""What all systems keep to: the contract, the loss, checkpoints."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import examples
from tests.models.variants import (
    BATCH,
    INTERESTS,
    ITEMS,
    LENGTH,
    SIZE,
    VARIANTS,
    histories,
    make,
    quick_ones,
    with_an_empty_history,
)
from tfrs_timirec.config import TrainingSettings
from tfrs_timirec.models.distillation import Distilled
from tfrs_timirec.models.losses import (
    distillation_loss,
    label_aware_interest,
    routing_variance,
)
from tfrs_timirec.training import checkpoint
from tfrs_timirec.training.step import TrainingStep
from tfrs_timirec.training.workers import ALONE

MANY_VECTORS = ("mind", "comirec")
LEARNED = [variant for variant in VARIANTS if variant != "popularity"]
DISTILLED = [variant for variant in VARIANTS if variant.startswith("timirec")]
variants = pytest.mark.parametrize("variant", VARIANTS)
learned = pytest.mark.parametrize("variant", LEARNED)


def batch_of(seed=0):
    rng = np.random.default_rng(seed)
    positive, negative = rng.integers(1, ITEMS + 1, (2, BATCH)).astype(np.int32)
    return {**histories(seed), "positive": positive, "negative": negative}


def queries(model, inputs):
    return np.asarray(model.query_vectors(inputs))


MODELS = {variant: make(variant) for variant in VARIANTS}


@pytest.mark.parametrize(
    ("variant", "expected"), [("mind", 0.1), ("timirec_mind", 0.1), ("timirec", 0.01)]
)
def test_initial_weights_are_the_system_s_own(variant, expected):
    model = make(variant, stddev=None)
    assert np.std(model.item_vectors()) == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize("variant", ["comirec, REMI", "timirec_ligr"])
def test_the_routing_penalty_is_added_to_the_loss(variant):
    model, batch = make(variant), batch_of()
    penalized = np.asarray(model.compute_loss(batch, training=False))
    extracting = model.pretrained if variant in DISTILLED else model
    penalty = extracting.settings.routing_penalty
    extracting.settings = replace(extracting.settings, routing_penalty=0.0)
    attention = model.represent(batch)["attention"]
    added = penalized - np.asarray(model.compute_loss(batch, training=False))
    np.testing.assert_allclose(added, penalty * routing_variance(attention), rtol=1e-3, atol=1e-6)
    assert added.max() > 0


@variants
def test_what_a_tower_gives(variant):
    model, inputs = MODELS[variant], with_an_empty_history()
    size = 1 if variant == "popularity" else SIZE
    many = INTERESTS if variant.startswith(MANY_VECTORS) else 1
    interests = INTERESTS if variant in DISTILLED else many
    given = {name: np.asarray(values) for name, values in model.represent(inputs).items()}
    assert {name: (values.dtype, values.shape) for name, values in given.items()} == {
        "query_vectors": (np.float32, (BATCH, many, size)),
        "interests": (np.float32, (BATCH, interests, size)),
        "interest_weights": (np.float32, (BATCH, interests)),
        "attention": (np.float32, (BATCH, LENGTH, interests)),
    }
    assert model.item_vectors().shape == (ITEMS, size)
    assert model.num_items == ITEMS
    np.testing.assert_array_equal(queries(model, inputs), given["query_vectors"])

    weights = given["interest_weights"]
    assert (weights > 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    if variant in DISTILLED:
        assert np.ptp(weights) > 1e-2
        query = np.einsum("uk,ukd->ud", weights, given["interests"])
        np.testing.assert_allclose(given["query_vectors"][:, 0], query, rtol=1e-4, atol=1e-6)
    else:
        np.testing.assert_array_equal(given["query_vectors"], given["interests"])
        np.testing.assert_allclose(weights, 1 / interests, rtol=1e-6)

    real = inputs["history"] > 0
    attention = given["attention"]
    assert (attention >= 0).all()
    assert (attention[~real] == 0).all()
    # Popularity makes nothing of the history.
    expected = real.any(axis=1) * (variant != "popularity")
    for sums, total in zip(attention.sum(axis=1), expected, strict=True):
        np.testing.assert_allclose(sums, total, rtol=1e-5)


@variants
def test_what_a_tower_takes(variant):
    taken = ["history", "times"] if variant == "tisasrec" else ["history"]
    assert MODELS[variant].tower_inputs == taken


@learned
def test_the_last_phase_is_the_whole(variant):
    assert MODELS[variant].phases()[-1] is MODELS[variant]


@pytest.mark.parametrize("variant", DISTILLED)
def test_the_first_phase_is_the_extractor_and_shares_its_layers(variant):
    model = MODELS[variant]
    assert isinstance(model, Distilled)
    first, inputs = model.pretrained, histories()
    interests = np.asarray(model.represent(inputs)["interests"])
    np.testing.assert_array_equal(queries(first, inputs), interests)
    assert type(first) is model.extractor
    weights = {name for name in model.state if not name.startswith("seed")}
    of_extractor = {name for name in weights if not name.startswith("predictor")}
    assert of_extractor == {name for name in first.state if not name.startswith("seed")}
    assert of_extractor < weights
    assert all(first.state[name] is model.state[name] for name in of_extractor)


@pytest.mark.parametrize(
    ("variant", "title"),
    [
        ("popularity", "popularity"),
        ("mind", "MIND"),
        ("comirec+", "ComiRec+"),
        ("timirec", "TiMiRec"),
        ("timirec, joint", "TiMiRec, joint training, without stop-gradient"),
        ("timirec+, softmax", "TiMiRec+"),
        ("timirec_mind", "TiMiRec (MIND)"),
    ],
)
def test_titles(variant, title):
    assert MODELS[variant].title == title


def test_all_titles_of_the_systems_differ():
    # MIND and ComiRec are there twice.
    assert len({model.title for model in MODELS.values()}) == len(VARIANTS) - 2


@variants
@examples(5)
@given(st.integers(0, 2**32 - 1))
def test_padding_changes_nothing(variant, seed):
    model = MODELS[variant]
    inputs = histories(seed)
    lengths = np.count_nonzero(inputs["history"], axis=1)

    def narrow(rows, width):
        return queries(model, {name: values[rows, :width] for name, values in inputs.items()})

    expected = queries(model, inputs)
    for width in {lengths.max(), LENGTH}:
        found = narrow(slice(None), width)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    short = lengths <= 2
    if short.any():  # Keras has no maximum of nothing.
        np.testing.assert_allclose(narrow(short, 2), expected[short], rtol=1e-4, atol=1e-5)


@variants
def test_whether_the_order_of_the_older_items_matters(variant):
    model, times = MODELS[variant], np.array([[1, 3, 3, 4, 9, 11]])
    one, other = (
        queries(model, {"history": np.array([items], np.int32), "times": times})
        for items in ([3, 7, 11, 2, 9, 5], [11, 2, 3, 9, 7, 5])
    )
    matters = np.abs(other - one).max() > 1e-3
    assert matters == (variant not in ("popularity", "youtube_dnn", "comirec", "comirec, REMI"))


@learned
def test_the_newest_item_matters(variant):
    model, inputs, other = MODELS[variant], histories(), histories()
    other["history"][0, -1] = inputs["history"][0, -1] % ITEMS + 1
    changed = np.abs(queries(model, other) - queries(model, inputs)).max(axis=(1, 2))
    assert changed[0] > 1e-3
    assert changed[1:].max() == 0


def test_tisasrec_reads_intervals_alone():
    model, inputs = MODELS["tisasrec"], histories()

    def at(times):
        return queries(model, {**inputs, "times": times})

    times, expected = inputs["times"], queries(model, inputs)
    np.testing.assert_array_equal(at(times * 60), expected)
    np.testing.assert_array_equal(at(times + 10**12), expected)
    assert np.abs(at(times + np.arange(LENGTH) ** 2) - expected).max() > 1e-3


@pytest.mark.parametrize("variant", [v for v in LEARNED if v not in (*DISTILLED, "comirec, REMI")])
def test_the_loss_is_that_of_the_vector_that_matches_best(variant):
    model, inputs = MODELS[variant], batch_of()
    vectors = queries(model, inputs).astype("float64")
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


@pytest.mark.parametrize("variant", ["timirec", "timirec, joint", "timirec_mind"])
def test_the_loss_of_a_distilled_system(variant):
    """Eq. 11 in NumPy; the logits are the logarithms of the weights, but for a constant."""
    model, inputs = MODELS[variant], batch_of()
    given = {name: np.asarray(v, "float64") for name, v in model.represent(inputs).items()}
    items = np.asarray(model.items.embeddings.value, "float64")
    positive, negative = items[inputs["positive"]], items[inputs["negative"]]
    margin = np.einsum("ud,ud->u", given["query_vectors"][:, 0], positive - negative)
    lengths = np.linalg.norm(given["interests"], axis=2) * np.linalg.norm(positive, axis=1)[:, None]
    similarity = np.einsum("ukd,ud->uk", given["interests"], positive) / lengths
    temperature = model.settings.temperature
    teacher = np.exp(similarity / temperature)
    student = given["interest_weights"] ** (1 / temperature)
    teacher, student = (p / p.sum(axis=1, keepdims=True) for p in (teacher, student))
    divergence = (teacher * np.log(teacher / student)).sum(axis=1)
    expected = np.log1p(np.exp(-margin)) + temperature**2 * divergence
    np.testing.assert_allclose(model.compute_loss(inputs), expected, rtol=1e-3, atol=1e-5)


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
    assert [len(MODELS[variant].phases()) for variant in ("timirec", "timirec, joint")] == [2, 1]


@pytest.mark.parametrize("variant", quick_ones(LEARNED))
def test_it_learns_and_its_checkpoint_is_all_of_it(variant, eager, tmp_path):
    inputs = {**batch_of(), "weight": np.ones(BATCH, np.float32)}
    model = make(variant, stddev=0.1)
    before = {name: np.array(variable.value) for name, variable in model.state.items()}
    step = TrainingStep(model, TrainingSettings(learning_rate=0.05), 1, ALONE)
    losses = [step(inputs)[0] for _ in range(10)]
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
    expected = queries(model, histories(1))
    assert np.abs(queries(other, histories(1)) - expected).max() > 1e-3
    checkpoint.load(tmp_path / "best.npz", other.state)
    np.testing.assert_array_equal(queries(other, histories(1)), expected)
    np.testing.assert_array_equal(other.item_vectors(), model.item_vectors())


def test_the_cosine_ends_at_zero(eager):
    inputs = {**batch_of(), "weight": np.ones(BATCH, np.float32)}
    model = make("youtube_dnn")
    settings = TrainingSettings(learning_rate=0.03, schedule="cosine", max_epochs=2)
    step = TrainingStep(model, settings, 3, ALONE)
    moved = []
    for _ in range(7):
        before = np.array(model.item_vectors())
        step(inputs)
        moved.append(np.abs(model.item_vectors() - before).max())
    assert moved[0] == pytest.approx(0.03, rel=1e-3)
    assert moved[6] == 0 < moved[5] < moved[1]


@pytest.mark.parametrize(
    "variant",
    ["mind", "comirec+", "sasrec", "tisasrec", "esasrec", "timirec+, softmax", "timirec_mind"],
)
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


def test_popularity_scores_with_counts_and_has_nothing_to_train():
    model, counts = make("popularity"), np.arange(ITEMS, 0, -1)
    model.learn_counts(counts)
    assert model.phases() == []
    scores = queries(model, with_an_empty_history())[:, 0] @ np.asarray(model.item_vectors()).T
    assert scores.tolist() == [counts.tolist()] * BATCH


@learned
def test_a_learned_system_has_no_use_for_counts(variant):
    model = MODELS[variant]
    before = np.array(model.item_vectors())
    model.learn_counts(np.ones(ITEMS, np.int64))
    np.testing.assert_array_equal(model.item_vectors(), before)


@learned
def test_the_seed_decides_the_weights(variant):
    first, same, other = (np.asarray(make(variant, seed).item_vectors()) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).max() > 0.1


def test_a_system_is_not_saved_as_a_tfrs_model(tmp_path):
    with pytest.raises(NotImplementedError, match="user_tower.save"):
        MODELS["timirec"].save(tmp_path / "model")
    assert not list(tmp_path.iterdir())
