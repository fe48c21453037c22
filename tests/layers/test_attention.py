"""What the layers tell about each item of a history."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import examples
from tests.layers.processes import run_script
from tfrs_timirec.layers import (
    DynamicRouting,
    FrequencyBlock,
    HSTUBlock,
    LiGRBlock,
    NewestItem,
    SASRecBlock,
    SelfAttentiveExtractor,
    StateChange,
    TimeIntervalBlock,
    TransformerBlock,
)

# A history of one item has a softmax of one, of which Keras warns.
pytestmark = pytest.mark.filterwarnings("ignore:You are using a softmax over axis")

LENGTH, WIDTH, INTERESTS = 5, 8, 3
INITIALIZER = keras.initializers.RandomNormal(stddev=0.5, seed=keras.random.SeedGenerator(1))

LAYERS = {
    "extractor": SelfAttentiveExtractor(
        INTERESTS, kernel_initializer=INITIALIZER, return_attention=True
    ),
    "extractor+": SelfAttentiveExtractor(
        INTERESTS, 4, True, LENGTH, kernel_initializer=INITIALIZER, return_attention=True
    ),
    "routing": DynamicRouting(
        INTERESTS, LENGTH, kernel_initializer=INITIALIZER, return_attention=True
    ),
    "block": TransformerBlock(INITIALIZER, return_attention=True),
    "sasrec": SASRecBlock(2, INITIALIZER, return_attention=True),
    "ligr": LiGRBlock(2, INITIALIZER, return_attention=True),
    "hstu": HSTUBlock(LENGTH, 2, INITIALIZER, return_attention=True),
    "frequency": FrequencyBlock(LENGTH, 1, 0.6, 2, INITIALIZER, return_attention=True),
    "intervals": TimeIntervalBlock(LENGTH, 50, INITIALIZER, return_attention=True),
}
on_layers = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)


def _vectors(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def _call(layer, inputs, mask=None, training=False):
    """The layer's outputs; the items are an hour apart."""
    if not isinstance(layer, TimeIntervalBlock):
        return layer(inputs, mask=mask, training=training)
    times = np.broadcast_to(3600 * np.arange(inputs.shape[1]), inputs.shape[:2])
    return layer(inputs, times, inputs_mask=mask, training=training)


def _without_attention(layer):
    """A layer with the same weights that does not tell its attention."""
    other = type(layer).from_config({**layer.get_config(), "return_attention": False})
    _call(other, _vectors(1, LENGTH, WIDTH))
    other.set_weights(layer.get_weights())
    return other


@st.composite
def masks(draw):
    """bool [users, n] of histories with the padding of each on either side, some empty."""
    width = draw(st.integers(1, LENGTH))
    users = draw(st.lists(st.tuples(st.integers(0, width), st.booleans()), min_size=1, max_size=4))
    return np.array([(np.arange(width) < length)[:: 1 if right else -1] for length, right in users])


def _assert_shares(shares, mask):
    """Nothing at padding; over the positions the sum is 1 for a history that is not empty."""
    assert shares.shape[:2] == mask.shape
    assert (shares >= 0).all()
    assert (shares[~mask] == 0).all()
    for sums, some in zip(shares.sum(axis=1), mask.any(axis=1), strict=True):
        np.testing.assert_allclose(sums, some, atol=1e-5)


@pytest.mark.parametrize("name", ["extractor", "extractor+", "routing", "intervals"])
@pytest.mark.parametrize("training", [False, True])
@examples(30)
@given(mask=masks())
def test_each_share_sums_to_one_over_the_items(name, training, mask):
    _, attention = _call(LAYERS[name], _vectors(*mask.shape, WIDTH), mask, training)
    _assert_shares(np.asarray(attention), mask)


@pytest.mark.parametrize("name", ["block", "sasrec", "ligr", "hstu", "frequency"])
@examples(30)
@given(mask=masks())
def test_each_item_attends_to_items_alone(name, mask):
    _, attention = LAYERS[name](_vectors(*mask.shape, WIDTH), mask=mask)
    attention = np.asarray(attention)
    np.testing.assert_allclose(attention.sum(axis=2), mask, atol=1e-5)
    assert (attention >= 0).all()
    seen = mask[:, :, None] & mask[:, None, :]
    assert (attention[~(seen if name == "block" else np.tril(seen))] == 0).all()


@examples(30)
@given(mask=masks())
def test_state_changes_sum_to_one_over_the_items(mask):
    shares = StateChange()(_vectors(*mask.shape, WIDTH), mask=mask)
    _assert_shares(np.asarray(shares), mask)


@on_layers
@pytest.mark.parametrize("mask", [None, np.arange(LENGTH) < np.array([[5], [3], [1], [0]])])
def test_attention_leaves_the_outputs_as_they_are(layer, mask):
    inputs = _vectors(4, LENGTH, WIDTH)
    outputs, _ = _call(layer, inputs, mask)
    assert np.array_equal(outputs, _call(_without_attention(layer), inputs, mask))


@on_layers
def test_the_config_and_the_shapes_tell_of_the_attention(layer):
    inputs = _vectors(4, LENGTH, WIDTH)
    outputs = _call(layer, inputs)
    clone = type(layer).from_config(layer.get_config())
    assert clone.return_attention is True
    assert [output.shape for output in _call(clone, inputs)] == [o.shape for o in outputs]
    shapes = clone.compute_output_shape(inputs.shape)
    assert [tuple(shape) for shape in shapes] == [tuple(o.shape) for o in outputs]


def test_the_row_of_the_newest_item_is_found_by_the_mask():
    history = np.array([[3, 1, 4, 0, 0], [0, 0, 0, 2, 2], [0, 0, 0, 0, 0]])
    items = keras.layers.Embedding(9, WIDTH, INITIALIZER, mask_zero=True)(history)
    outputs, attention = LAYERS["block"](items)
    rows = np.asarray(attention)
    assert np.array_equal(NewestItem()(attention), [rows[0, 2], rows[1, 4], np.zeros(LENGTH)])
    assert np.array_equal(NewestItem()(outputs)[0], outputs[0, 2])


def test_a_block_of_the_newest_alone_gives_what_is_at_the_newest():
    history = np.array([[3, 1, 4, 0, 0], [0, 0, 0, 2, 2], [0, 0, 0, 0, 0], [1, 2, 3, 4, 5]])
    items = keras.layers.Embedding(9, WIDTH, INITIALIZER, mask_zero=True)(history)
    whole = LAYERS["block"]
    whole(np.asarray(items))
    newest = TransformerBlock.from_config({**whole.get_config(), "newest_only": True})
    newest.build(items.shape)
    newest.set_weights(whole.get_weights())
    for mask in (history > 0, None):
        outputs = whole(np.asarray(items), mask=mask)
        for at_newest, all_of_them in zip(
            newest(np.asarray(items), mask=mask), outputs, strict=True
        ):
            expected = NewestItem()(all_of_them, mask=mask)
            np.testing.assert_allclose(at_newest, expected, rtol=1e-6, atol=1e-6)


def test_the_items_of_a_capsule_are_told_apart_where_its_weights_round_to_zero():
    layer = DynamicRouting(2, LENGTH, 1, INITIALIZER, return_attention=True)
    layer.build((None, LENGTH, WIDTH))
    layer.initial_logits.assign([[0, 0]] + [[0, -200 - distance] for distance in range(LENGTH)])
    _, attention = layer(_vectors(1, LENGTH, WIDTH))
    expected = np.exp(-np.arange(LENGTH)[::-1].astype("float64"))
    np.testing.assert_allclose(attention[0, :, 1], expected / expected.sum(), rtol=1e-4)


def test_state_changes_are_distances():
    states = np.array([[[3.0, 4], [3, 4], [0, 0], [9, 9]], [[9, 9], [9, 9], [0, 1], [0, 4]]])
    mask = np.array([[True, True, True, False], [False, False, True, True]])
    found = StateChange(dtype="float64")(states, mask=mask)
    np.testing.assert_allclose(found, [[0.5, 0, 0.5, 0], [0, 0, 0.25, 0.75]], atol=1e-6)


def test_a_state_at_rest_has_equal_shares_and_finite_gradients():
    mask = np.array([[True, True, False], [False, False, False]])
    with tf.GradientTape() as tape:
        states = tf.Variable(tf.zeros((2, 3, WIDTH)))
        shares = StateChange()(states, mask=mask)
        total = tf.reduce_sum(tf.sin(shares))
    np.testing.assert_allclose(shares, [[0.5, 0.5, 0], [0, 0, 0]])
    assert np.isfinite(tape.gradient(total, states)).all()


@pytest.mark.long
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_model_of_any_width_is_saved_and_loaded(tmp_path, backend):
    run_script(backend, "attention_in_a_model.py", tmp_path)
