from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.golden.layout import VARIANTS
from tests.halves import halves
from tests.layers.compare_reference import COMPARISONS
from tests.layers.processes import run_script
from tfrs_timirec.layers import (
    DistanceToEndEmbedding,
    DistanceToStartEmbedding,
    DynamicRouting,
    FrequencyBlock,
    HistoryMean,
    HSTUBlock,
    InterestAggregation,
    InterestPredictor,
    LiGRBlock,
    NewestItem,
    SASRecBlock,
    SelfAttentiveExtractor,
    StateChange,
    TimeIntervalBlock,
    TransformerBlock,
)

BATCH, LENGTH, WIDTH, INTERESTS = 4, 5, 8, 3
INITIALIZER = keras.initializers.RandomNormal(stddev=0.5, seed=keras.random.SeedGenerator(1))
MASK = np.arange(LENGTH) < np.array([[5], [3], [1], [0]])

TIME_BLOCK = TimeIntervalBlock(LENGTH, kernel_initializer=INITIALIZER, dropout=0.5)
TIMES = np.array([0, 3, 3, 10, 4000, 5000, 7000, 0]) + 10**12 * np.ones((BATCH, 1), int)


def _with_times(layer):
    """The layer as one of items and mask alone."""
    return lambda inputs, mask=None: layer(inputs, TIMES[:, : inputs.shape[1]], inputs_mask=mask)


def _at_the_newest(block):
    """The block's output at the newest item."""
    return lambda inputs, mask=None: NewestItem()(block(inputs, mask=mask), mask=mask)


# Each block over histories of up to 9 items.
BLOCKS = {
    "transformer": lambda **kwargs: TransformerBlock(INITIALIZER, **kwargs),
    "sasrec": lambda **kwargs: SASRecBlock(2, INITIALIZER, **kwargs),
    "ligr": lambda **kwargs: LiGRBlock(2, INITIALIZER, **kwargs),
    "hstu": lambda **kwargs: HSTUBlock(9, 2, INITIALIZER, **kwargs),
    "frequency": lambda **kwargs: FrequencyBlock(9, 1, 0.6, 2, INITIALIZER, **kwargs),
}
on_blocks = pytest.mark.parametrize("make", BLOCKS.values(), ids=BLOCKS)
POSITIONS = [DistanceToEndEmbedding, DistanceToStartEmbedding]

on_history = pytest.mark.parametrize(
    "make",
    [
        lambda: SelfAttentiveExtractor(INTERESTS, kernel_initializer=INITIALIZER),
        lambda: SelfAttentiveExtractor(
            INTERESTS, positions=True, max_length=9, kernel_initializer=INITIALIZER
        ),
        lambda: SelfAttentiveExtractor(INTERESTS, 4, True, 9, kernel_initializer=INITIALIZER),
        lambda: InterestPredictor(INTERESTS, num_layers=2, kernel_initializer=INITIALIZER),
        lambda: DynamicRouting(INTERESTS, 9, kernel_initializer=INITIALIZER),
        lambda: HistoryMean(),
        lambda: NewestItem(),
        lambda: _with_times(TimeIntervalBlock(9, 50, INITIALIZER)),
        *(lambda make=make: _at_the_newest(make()) for make in BLOCKS.values()),
    ],
    ids=[
        "extractor",
        "extractor, positions",
        "extractor+",
        "predictor",
        "routing",
        "mean",
        "newest",
        "intervals",
        *BLOCKS,
    ],
)


@pytest.fixture(autouse=True)
def initial_weights():
    """The weights of a test's layers depend on no other test."""
    INITIALIZER.seed.state.assign([1, 0])


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


@halves
@pytest.mark.parametrize("positions", [False, True])
def test_prefixes_are_computed_in_the_precision_of_the_layer(positions):
    layer = SelfAttentiveExtractor(
        INTERESTS,
        positions=positions,
        max_length=9,
        kernel_initializer=INITIALIZER,
        dtype="mixed_bfloat16",
    )
    inputs = keras.ops.cast(_vectors(BATCH, LENGTH, WIDTH), "bfloat16")
    whole = layer(inputs)
    found = layer.of_prefixes(inputs)
    assert found.dtype == whole.dtype == "bfloat16"
    np.testing.assert_allclose(
        *(keras.ops.cast(of, "float32") for of in (found[:, -1], whole)), rtol=0.05, atol=0.05
    )


@on_history
def test_what_stands_in_the_padding_changes_nothing(make):
    layer = make()
    inputs = _vectors(BATCH, LENGTH, WIDTH)
    other = np.where(MASK[..., None], inputs, _vectors(BATCH, LENGTH, WIDTH, seed=1))
    _equal(layer(other, mask=MASK), layer(inputs, mask=MASK))


@on_history
def test_the_mask_of_an_embedding_is_taken(make):
    layer = make()
    embedding = keras.layers.Embedding(9, WIDTH, INITIALIZER, mask_zero=True)
    embedded = embedding(np.where(MASK, np.arange(LENGTH) + 1, 0))
    expected = layer(np.asarray(embedded), mask=MASK)
    _equal(layer(embedded), expected)
    assert np.abs(np.asarray(layer(np.asarray(embedded))) - expected).max() > 1e-3


@on_history
def test_a_full_mask_is_no_mask(make):
    layer = make()
    inputs = _vectors(BATCH, LENGTH, WIDTH)
    _equal(layer(inputs, mask=np.ones((BATCH, LENGTH), bool)), layer(inputs))


@pytest.mark.parametrize(
    "layer",
    [
        SelfAttentiveExtractor(INTERESTS),
        SelfAttentiveExtractor(INTERESTS, positions=True),
        SelfAttentiveExtractor(INTERESTS, transformer=True),
        DynamicRouting(INTERESTS),
        HistoryMean(),
        NewestItem(),
        _with_times(TimeIntervalBlock(LENGTH)),
        *(_at_the_newest(make()) for make in BLOCKS.values()),
    ],
    ids=[
        "extractor",
        "extractor, positions",
        "extractor+",
        "routing",
        "mean",
        "newest",
        "intervals",
        *BLOCKS,
    ],
)
def test_a_history_of_padding_has_zero_vectors(layer):
    vectors = np.asarray(layer(_vectors(BATCH, LENGTH, WIDTH), mask=MASK)).reshape(BATCH, -1)
    assert np.isfinite(vectors).all()
    assert (np.abs(vectors).max(axis=1) > 0).tolist() == [True, True, True, False]


@halves
@pytest.mark.parametrize(
    "make",
    [
        partial(SelfAttentiveExtractor, INTERESTS),
        partial(SelfAttentiveExtractor, INTERESTS, transformer=True),
        partial(DynamicRouting, INTERESTS),
        partial(TransformerBlock, newest_only=True),
        lambda dtype: _with_times(TimeIntervalBlock(LENGTH, dtype=dtype)),
    ],
    ids=["extractor", "extractor+", "routing", "transformer", "intervals"],
)
def test_a_history_of_padding_has_zero_vectors_in_float16_too(make):
    layer = make(dtype="mixed_float16")
    found = layer(keras.ops.cast(_vectors(BATCH, LENGTH, WIDTH), "float16"), mask=MASK)
    assert found.dtype == "float16"
    vectors = np.asarray(found, np.float32).reshape(BATCH, -1)
    assert np.isfinite(vectors).all()
    assert (np.abs(vectors).max(axis=1) > 0).tolist() == [True, True, True, False]


def test_a_history_of_padding_has_finite_logits():
    logits = InterestPredictor(INTERESTS)(_vectors(BATCH, LENGTH, WIDTH), mask=MASK)
    assert np.isfinite(np.asarray(logits)).all()


@on_blocks
def test_a_block_neither_reads_nor_writes_padding(make):
    """On the left it is as on the right."""
    block, inputs = make(), _vectors(BATCH, LENGTH, WIDTH)
    outputs = np.asarray(block(inputs, mask=MASK))
    assert (outputs[~MASK] == 0).all()
    assert (np.abs(outputs[MASK]).max(axis=-1) > 0).all()
    left = np.asarray(block(_to_the_left(inputs), mask=MASK[:, ::-1]))
    assert (left[~MASK[:, ::-1]] == 0).all()
    _equal(left, _to_the_left(outputs))


def _to_the_left(rows):
    """The rows with the padding of MASK on the other side."""
    shifts = LENGTH - MASK.sum(axis=1)
    return np.stack([np.roll(row, shift, axis=0) for row, shift in zip(rows, shifts, strict=True)])


@pytest.mark.parametrize("name", ["sasrec", "ligr", "hstu"])
def test_later_items_change_nothing_in_a_causal_block(name):
    block, inputs = BLOCKS[name](), _vectors(BATCH, LENGTH, WIDTH)
    whole = np.asarray(block(inputs))
    for n in range(2, LENGTH):
        _equal(whole[:, :n], block(inputs[:, :n]))
    assert np.ptp(whole[:, 1:] - whole[:, :-1]) > 0.1


@pytest.mark.parametrize(
    ("layer_class", "mask", "distances"),
    [
        (DistanceToEndEmbedding, [1, 1, 1, 0, 0], [3, 2, 1, 0, 0]),
        (DistanceToEndEmbedding, [0, 0, 1, 1, 1], [0, 0, 3, 2, 1]),
        (DistanceToEndEmbedding, [1, 1, 1, 1, 1], [5, 4, 3, 2, 1]),
        (DistanceToEndEmbedding, [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]),
        (DistanceToStartEmbedding, [1, 1, 1, 0, 0], [1, 2, 3, 0, 0]),
        (DistanceToStartEmbedding, [0, 0, 1, 1, 1], [0, 0, 1, 2, 3]),
        (DistanceToStartEmbedding, [1, 1, 1, 1, 1], [1, 2, 3, 4, 5]),
        (DistanceToStartEmbedding, [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]),
    ],
)
def test_where_positions_count_from(layer_class, mask, distances):
    layer = layer_class(max_length=LENGTH)
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
@pytest.mark.parametrize(
    "layer",
    [
        InterestPredictor(INTERESTS, num_layers=2, dropout=0.5, kernel_initializer=INITIALIZER),
        SelfAttentiveExtractor(INTERESTS, dropout=0.5, kernel_initializer=INITIALIZER),
        lambda x, training: TIME_BLOCK(x, TIMES[:, :LENGTH], training=training),
        DynamicRouting(INTERESTS, kernel_initializer=INITIALIZER),
        *(make(dropout=0.5) for make in BLOCKS.values()),
    ],
    ids=["predictor", "extractor", "intervals", "routing", *BLOCKS],
)
def test_chance_is_for_training_alone(layer, training):
    inputs = _vectors(BATCH, LENGTH, WIDTH)
    first, second = (np.asarray(layer(inputs, training=training)) for _ in range(2))
    assert np.array_equal(first, second) is not training


@pytest.mark.parametrize(
    ("layer_class", "arguments"),
    [
        *((layer_class, {"max_length": 9}) for layer_class in POSITIONS),
        (TransformerBlock, {"dropout": 0.25}),
        (TransformerBlock, {"newest_only": True}),
        (SASRecBlock, {"heads": 4, "dropout": 0.25}),
        (LiGRBlock, {"heads": 4, "dropout": 0.25}),
        (HSTUBlock, {"max_length": 9, "heads": 4, "dropout": 0.25}),
        (
            FrequencyBlock,
            {"max_length": 9, "lowest": 1, "share": 0.25, "heads": 4, "dropout": 0.25},
        ),
        (TimeIntervalBlock, {"max_length": 9, "max_interval": 7, "dropout": 0.25}),
        (DynamicRouting, {"num_interests": 2, "max_length": 9, "iterations": 2, "seed": 4}),
        (HistoryMean, {}),
        (NewestItem, {}),
        (StateChange, {}),
        (InterestPredictor, {"num_interests": 2, "num_layers": 3, "dropout": 0.25}),
        (InterestAggregation, {}),
        (SelfAttentiveExtractor, {"num_interests": 2, "attention_width": 5, "dropout": 0.25}),
        (SelfAttentiveExtractor, {"num_interests": 2, "transformer": True, "max_length": 7}),
        (SelfAttentiveExtractor, {"num_interests": 2, "positions": True, "max_length": 7}),
    ],
)
def test_the_config_makes_the_same_layer(layer_class, arguments):
    initializer = {
        **{position: {"embeddings_initializer": INITIALIZER} for position in POSITIONS},
        InterestAggregation: {},
        HistoryMean: {},
        NewestItem: {},
        StateChange: {},
    }.get(layer_class, {"kernel_initializer": INITIALIZER})
    layer = layer_class(**arguments, **initializer, name="its_name")
    clone = layer_class.from_config(layer.get_config())
    assert clone.get_config() == layer.get_config()
    assert arguments.items() <= clone.get_config().items()
    assert clone.name == "its_name"

    inputs = [_vectors(BATCH, LENGTH, WIDTH)]
    if layer_class is InterestAggregation:
        inputs.append(_vectors(BATCH, LENGTH, seed=1))
    if layer_class is TimeIntervalBlock:
        inputs.append(TIMES[:, :LENGTH])
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
        (DistanceToStartEmbedding, {"max_length": 0}, "max_length"),
        (SASRecBlock, {"heads": 0}, "heads"),
        (LiGRBlock, {"heads": 0}, "heads"),
        (HSTUBlock, {"max_length": 0}, "max_length"),
        (FrequencyBlock, {"max_length": 0}, "max_length"),
        (DynamicRouting, {"num_interests": 0}, "num_interests"),
        (DynamicRouting, {"num_interests": 2, "max_length": 0}, "max_length"),
        (DynamicRouting, {"num_interests": 2, "iterations": 0}, "iterations"),
        (TimeIntervalBlock, {"max_length": 0}, "max_length"),
        (TimeIntervalBlock, {"max_length": 2, "max_interval": 0}, "max_interval"),
    ],
)
def test_a_wrong_size_is_named(layer_class, arguments, name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        layer_class(**arguments)


@pytest.mark.parametrize(
    "layer",
    [
        DistanceToEndEmbedding(max_length=LENGTH - 1),
        DistanceToStartEmbedding(max_length=LENGTH - 1),
        HSTUBlock(max_length=LENGTH - 1),
        FrequencyBlock(max_length=LENGTH - 1),
        SelfAttentiveExtractor(INTERESTS, transformer=True, max_length=LENGTH - 1),
        DynamicRouting(INTERESTS, max_length=LENGTH - 1),
        _with_times(TimeIntervalBlock(max_length=LENGTH - 1)),
    ],
    ids=["to end", "to start", "hstu", "frequency", "extractor+", "routing", "intervals"],
)
def test_a_history_that_is_too_long_is_told(layer):
    with pytest.raises(ValueError, match="5 positions, but max_length is 4"):
        layer(_vectors(BATCH, LENGTH, WIDTH), mask=MASK)


@pytest.mark.parametrize(
    "layer",
    [SASRecBlock(3), LiGRBlock(3), HSTUBlock(9, 3), FrequencyBlock(9, heads=3)],
    ids=["sasrec", "ligr", "hstu", "frequency"],
)
def test_heads_that_do_not_divide_the_width_are_told(layer):
    with pytest.raises(ValueError, match="heads must divide the width 8, got 3"):
        layer(_vectors(BATCH, LENGTH, WIDTH))


@pytest.mark.long
def test_jax_outputs_equal_the_reference():
    assert run_script("jax", "jax_golden.py").split() == list(VARIANTS)


@pytest.mark.parametrize("compare", COMPARISONS)
def test_outputs_equal_the_numpy_reference(compare):
    compare()


@pytest.mark.long
def test_outputs_equal_the_numpy_reference_on_jax():
    run_script("jax", "compare_reference.py")


@pytest.mark.parametrize(
    "call",
    [
        *(make(dtype="float64") for make in BLOCKS.values()),
        _with_times(TimeIntervalBlock(LENGTH, 50, INITIALIZER, dtype="float64")),
        HistoryMean(dtype="float64"),
        StateChange(dtype="float64"),
        DynamicRouting(INTERESTS, iterations=1, kernel_initializer=INITIALIZER, dtype="float64"),
    ],
    ids=[*BLOCKS, "intervals", "mean", "change", "routing"],
)
def test_gradients_are_the_slopes(call):
    """Of a weighted sum of the outputs, along a random direction, by a central difference."""
    inputs, direction = (
        _vectors(BATCH, LENGTH, WIDTH, seed=seed).astype("float64") for seed in (0, 1)
    )
    weights = _vectors(*call(inputs, mask=MASK).shape, seed=2)

    def total(x):
        return tf.reduce_sum(weights * call(x, mask=MASK))

    with tf.GradientTape() as tape:
        x = tf.constant(inputs)
        tape.watch(x)
        loss = total(x)
    slope = tf.reduce_sum(tape.gradient(loss, x) * direction)
    step = 1e-6
    expected = (total(inputs + step * direction) - total(inputs - step * direction)) / (2 * step)
    np.testing.assert_allclose(slope, expected, rtol=1e-6)


def test_the_routing_passes_the_last_iterations_gradient_alone():
    """It is the gradient of one iteration from the logits that the others end with."""
    inputs = _vectors(1, LENGTH, WIDTH)
    routing = DynamicRouting(INTERESTS, LENGTH, 3, INITIALIZER)
    last = DynamicRouting(INTERESTS, LENGTH, 1, INITIALIZER)
    routing(inputs), last(inputs)
    logits = np.array(routing.initial_logits.value)[:0:-1].astype("float64")
    mapped = inputs[0] @ np.asarray(routing.bilinear.value)
    for _ in range(2):
        weights = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        z = weights.T @ mapped
        length = np.linalg.norm(z, axis=1, keepdims=True)
        logits += mapped @ (z * length / (1 + length**2)).T
    last.bilinear.assign(routing.bilinear.value)
    last.initial_logits.assign(np.concatenate([np.zeros((1, INTERESTS)), logits[::-1]]))
    gradients = []
    for layer in (routing, last):
        with tf.GradientTape() as tape:
            x = tf.constant(inputs)
            tape.watch(x)
            loss = tf.reduce_sum(tf.sin(20 * layer(x)))
        gradients.append(tape.gradient(loss, [x, layer.bilinear.value]))
    for found, expected in zip(*gradients, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_only_the_logits_tell_the_routings_items_apart_by_their_place():
    layer = DynamicRouting(INTERESTS, LENGTH, kernel_initializer=INITIALIZER)
    inputs, order = _vectors(1, LENGTH, WIDTH), np.array([3, 0, 4, 1, 2])
    interests = np.asarray(layer(inputs))
    assert np.abs(np.asarray(layer(inputs[:, order])) - interests).max() > 1e-3
    by_place = np.array(layer.initial_logits.value)[:0:-1]
    layer.initial_logits.assign(np.concatenate([np.zeros((1, INTERESTS)), by_place[order][::-1]]))
    _equal(layer(inputs[:, order]), interests)


@pytest.mark.parametrize(
    ("times", "intervals"),
    [
        ([0, 10, 20, 30, 30], [3, 2, 1, 0, 0]),
        ([100, 107, 120, 190, 200], [7, 7, 7, 1, 0]),
        ([5, 5, 5, 5, 5], [0, 0, 0, 0, 0]),
        ([10**17, 10**17 + 3, 10**17 + 4, 10**17 + 9, 10**17 + 9], [7, 6, 5, 0, 0]),
    ],
)
def test_intervals_are_multiples_of_the_shortest(times, intervals):
    """At most 7 here; what stands at padding changes none."""
    layer = TimeIntervalBlock(LENGTH + 2, max_interval=7)
    times = np.array([[*times, 0, 99]])
    mask = np.array([[True] * 5 + [False] * 2])
    newest = np.array([[False] * 4 + [True] + [False] * 2])
    found = np.asarray(layer.intervals(tf.constant(times), mask, newest))
    assert found[0, :5].tolist() == intervals
