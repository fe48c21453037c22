import keras
import numpy as np
import pytest

from tests.golden.layout import VARIANTS
from tests.layers.processes import run_script
from tfrs_timirec.layers import (
    DistanceToEndEmbedding,
    InterestAggregation,
    InterestPredictor,
    SelfAttentiveExtractor,
    TransformerBlock,
)

BATCH, LENGTH, WIDTH, INTERESTS = 4, 5, 8, 3
INITIALIZER = keras.initializers.RandomNormal(stddev=0.5, seed=keras.random.SeedGenerator(1))
MASK = np.arange(LENGTH) < np.array([[5], [3], [1], [0]])

on_history = pytest.mark.parametrize(
    "make",
    [
        lambda: SelfAttentiveExtractor(INTERESTS, kernel_initializer=INITIALIZER),
        lambda: SelfAttentiveExtractor(INTERESTS, 4, True, 9, kernel_initializer=INITIALIZER),
        lambda: InterestPredictor(INTERESTS, num_layers=2, kernel_initializer=INITIALIZER),
    ],
    ids=["extractor", "extractor+", "predictor"],
)


def _vectors(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def _equal(found, expected):
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-5, atol=1e-6)


@on_history
def test_padding_on_the_right_changes_nothing(make):
    layer = make()
    inputs = _vectors(BATCH, LENGTH, WIDTH)
    padded = np.concatenate([inputs, _vectors(BATCH, 3, WIDTH, seed=1)], axis=1)
    outputs = layer(inputs, mask=MASK)
    assert np.ptp(outputs) > 0.01
    _equal(layer(padded, mask=np.pad(MASK, ((0, 0), (0, 3)))), outputs)


@on_history
def test_what_stands_in_the_padding_changes_nothing(make):
    layer = make()
    inputs = _vectors(BATCH, LENGTH, WIDTH)
    other = np.where(MASK[..., None], inputs, _vectors(BATCH, LENGTH, WIDTH, seed=1))
    _equal(layer(other, mask=MASK), layer(inputs, mask=MASK))


@on_history
def test_a_full_mask_is_no_mask(make):
    layer = make()
    inputs = _vectors(BATCH, LENGTH, WIDTH)
    _equal(layer(inputs, mask=np.ones((BATCH, LENGTH), bool)), layer(inputs))


@pytest.mark.parametrize("transformer", [False, True])
def test_a_history_of_padding_has_zero_interests(transformer):
    layer = SelfAttentiveExtractor(INTERESTS, transformer=transformer)
    interests = np.asarray(layer(_vectors(BATCH, LENGTH, WIDTH), mask=MASK))
    assert np.isfinite(interests).all()
    assert (np.abs(interests).max(axis=(1, 2)) > 0).tolist() == [True, True, True, False]


def test_a_history_of_padding_has_finite_logits():
    logits = InterestPredictor(INTERESTS)(_vectors(BATCH, LENGTH, WIDTH), mask=MASK)
    assert np.isfinite(np.asarray(logits)).all()


def test_the_block_neither_reads_nor_writes_padding():
    outputs = np.asarray(TransformerBlock()(_vectors(BATCH, LENGTH, WIDTH), mask=MASK))
    assert (outputs[~MASK] == 0).all()
    assert (np.abs(outputs[MASK]).max(axis=-1) > 0).all()


@pytest.mark.parametrize(
    ("mask", "distances"),
    [
        ([1, 1, 1, 0, 0], [3, 2, 1, 0, 0]),
        ([0, 0, 1, 1, 1], [0, 0, 3, 2, 1]),
        ([1, 1, 1, 1, 1], [5, 4, 3, 2, 1]),
        ([0, 0, 0, 0, 0], [0, 0, 0, 0, 0]),
    ],
)
def test_distances_count_from_the_newest_item(mask, distances):
    layer = DistanceToEndEmbedding(max_length=LENGTH)
    layer.build((None, LENGTH, 1))
    layer.set_weights([np.arange(LENGTH + 1.0)[:, None]])
    found = layer(np.zeros((1, LENGTH, 1), "float32"), mask=np.array([mask], bool))
    assert np.asarray(found)[0, :, 0].tolist() == distances


def test_the_aggregation_is_the_mean_under_the_softmax():
    interests, logits = _vectors(BATCH, INTERESTS, WIDTH), _vectors(BATCH, INTERESTS, seed=1)
    weights = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = np.einsum("bk,bkd->bd", weights, interests)
    _equal(InterestAggregation()(interests, logits), expected)


@pytest.mark.parametrize("training", [False, True])
def test_dropout_is_for_training_alone(training):
    layer = InterestPredictor(INTERESTS, num_layers=2, dropout=0.5, kernel_initializer=INITIALIZER)
    inputs = _vectors(BATCH, LENGTH, WIDTH)
    first, second = (np.asarray(layer(inputs, training=training)) for _ in range(2))
    assert np.array_equal(first, second) is not training


@pytest.mark.parametrize(
    ("layer_class", "arguments"),
    [
        (DistanceToEndEmbedding, {"max_length": 9}),
        (TransformerBlock, {}),
        (InterestPredictor, {"num_interests": 2, "num_layers": 3, "dropout": 0.25}),
        (InterestAggregation, {}),
        (SelfAttentiveExtractor, {"num_interests": 2, "attention_width": 5}),
        (SelfAttentiveExtractor, {"num_interests": 2, "transformer": True, "max_length": 7}),
    ],
)
def test_the_config_makes_the_same_layer(layer_class, arguments):
    initializer = {
        DistanceToEndEmbedding: {"embeddings_initializer": INITIALIZER},
        InterestAggregation: {},
    }.get(layer_class, {"kernel_initializer": INITIALIZER})
    layer = layer_class(**arguments, **initializer, name="its_name")
    clone = layer_class.from_config(layer.get_config())
    assert clone.get_config() == layer.get_config()
    assert arguments.items() <= clone.get_config().items()
    assert clone.name == "its_name"

    inputs = [_vectors(BATCH, LENGTH, WIDTH)]
    if layer_class is InterestAggregation:
        inputs.append(_vectors(BATCH, LENGTH, seed=1))
    outputs = layer(*inputs)
    clone(*inputs)
    clone.set_weights(layer.get_weights())
    _equal(clone(*inputs), outputs)
    shapes = [vectors.shape for vectors in inputs]
    assert tuple(layer.compute_output_shape(*shapes)) == tuple(outputs.shape)


@pytest.mark.parametrize(
    ("layer_class", "arguments", "name"),
    [
        (SelfAttentiveExtractor, {"num_interests": 0}, "num_interests"),
        (SelfAttentiveExtractor, {"num_interests": 2, "attention_width": 0}, "attention_width"),
        (
            SelfAttentiveExtractor,
            {"num_interests": 2, "transformer": True, "max_length": 0},
            "max_length",
        ),
        (InterestPredictor, {"num_interests": 0}, "num_interests"),
        (InterestPredictor, {"num_interests": 2, "num_layers": 0}, "num_layers"),
        (DistanceToEndEmbedding, {"max_length": 0}, "max_length"),
    ],
)
def test_a_wrong_size_is_named(layer_class, arguments, name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        layer_class(**arguments)


@pytest.mark.parametrize(
    "layer",
    [
        DistanceToEndEmbedding(max_length=LENGTH - 1),
        SelfAttentiveExtractor(INTERESTS, transformer=True, max_length=LENGTH - 1),
    ],
    ids=["position", "extractor+"],
)
def test_a_history_that_is_too_long_is_told(layer):
    with pytest.raises(ValueError, match="5 positions, but max_length is 4"):
        layer(_vectors(BATCH, LENGTH, WIDTH), mask=MASK)


@pytest.mark.parametrize("variant", VARIANTS)
def test_jax_outputs_equal_the_reference(variant):
    run_script("jax", "jax_golden.py", variant)
