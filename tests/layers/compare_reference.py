"""Compares the layers with their NumPy reference on the backend of this process.

Usage: python compare_reference.py
"""

import sys

import keras
import numpy as np

from tests.layers import reference
from tfrs_timirec.layers import (
    DynamicRouting,
    HistoryMean,
    NewestItem,
    SelfAttentiveExtractor,
    StateChange,
    TimeIntervalBlock,
    TransformerBlock,
)

USERS, LENGTH, SIZE = 6, 7, 8
HISTORY_LENGTHS = (7, 5, 4, 2, 1, 1)
DAY = 86_400


def initializer():
    return keras.initializers.RandomNormal(stddev=0.5, seed=keras.random.SeedGenerator(3))


def inputs():
    """Items float [users, n, D], times int [users, n] in whole days with ties, mask."""
    rng = np.random.default_rng(0)
    mask = np.arange(LENGTH) < np.array(HISTORY_LENGTHS)[:, None]
    days = rng.integers(0, 4, (USERS, LENGTH)).cumsum(axis=1)
    days[3] = 5  # all at the same time
    times = np.where(mask, 1_400_000_000 + days * DAY, 0)
    return rng.normal(size=(USERS, LENGTH, SIZE)).astype("float32"), times, mask


def weights(layer):
    """A layer's weights by the end of their path, random ones where Keras begins with 0 or 1."""
    rng = np.random.default_rng(1)
    found = {}
    for weight in layer.weights:
        name = weight.path.removeprefix(f"{layer.name}/")
        if name.endswith(("bias", "gamma", "beta")):
            weight.assign(rng.normal(size=weight.shape))
        found[name] = np.asarray(weight.value, "float64")
    return found


def compare(layer, of_one_user, *arguments):
    """Asserts that the layer's outputs are the reference's at each user's real items, else 0."""
    items, _, mask = inputs()
    if not isinstance(layer, TimeIntervalBlock):
        outputs = layer(items, *arguments, mask=mask)
    else:
        outputs = layer(items, *arguments, inputs_mask=mask)
    outputs = [np.asarray(output) for output in keras.tree.flatten(outputs)]
    for user, length in enumerate(HISTORY_LENGTHS):
        real = [values[user, :length] for values in (items.astype("float64"), *arguments)]
        expected = keras.tree.flatten(of_one_user(*real))
        for output, values in zip(outputs, expected, strict=True):
            padding = [(0, n - m) for n, m in zip(output[user].shape, values.shape, strict=True)]
            np.testing.assert_allclose(output[user], np.pad(values, padding), rtol=1e-5, atol=1e-5)
    assert all(np.ptp(output) > 0.1 for output in outputs)


def compare_pooling():
    compare(HistoryMean(), reference.history_mean)
    compare(NewestItem(), reference.newest_item)
    compare(StateChange(), reference.state_change)


def compare_extractor():
    layer = SelfAttentiveExtractor(3, 4, kernel_initializer=initializer(), return_attention=True)
    layer.build((None, LENGTH, SIZE))
    all_weights = weights(layer)
    compare(layer, lambda items: reference.self_attentive_extractor(items, all_weights))


def compare_routing():
    for iterations in (1, 3):
        layer = DynamicRouting(3, LENGTH + 1, iterations, initializer(), 5, return_attention=True)
        layer.build((None, LENGTH, SIZE))
        all_weights = weights(layer)
        compare(
            layer,
            lambda items, w=all_weights, n=iterations: reference.dynamic_routing(
                items, w["bilinear"], w["initial_logits"], n
            ),
        )


def compare_transformer():
    layer = TransformerBlock(initializer(), return_attention=True)
    layer.build((None, LENGTH, SIZE))
    all_weights = weights(layer)
    compare(layer, lambda items: reference.transformer_block(items, all_weights))


def compare_time_intervals():
    _, times, _ = inputs()
    for max_interval in (2, 50):
        layer = TimeIntervalBlock(LENGTH + 2, max_interval, initializer(), return_attention=True)
        layer.build((None, LENGTH, SIZE))
        all_weights = weights(layer)
        compare(
            layer,
            lambda items, times, w=all_weights, k=max_interval: reference.time_interval_block(
                items, times, w, k
            ),
            times,
        )


COMPARISONS = (
    compare_pooling,
    compare_extractor,
    compare_routing,
    compare_transformer,
    compare_time_intervals,
)

if __name__ == "__main__":
    for comparison in COMPARISONS:
        comparison()
    assert "tensorflow" not in sys.modules
    print(keras.backend.backend())
