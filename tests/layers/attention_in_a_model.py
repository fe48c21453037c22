"""Saves and loads a Keras model of all that tells items apart, made for histories of any width.

Usage: python attention_in_a_model.py <folder>
"""

import sys
from pathlib import Path

import keras
import numpy as np

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

ITEMS, LENGTH, WIDTH, INTERESTS = 30, 6, 8, 3

if keras.backend.backend() == "jax":
    assert "tensorflow" not in sys.modules
    sys.modules["tensorflow"] = None  # Keras itself would try to import it: as if not installed.

history = keras.Input((None,), dtype="int32", name="history")
times = keras.Input((None,), dtype="int32", name="times")
items = keras.layers.Embedding(ITEMS + 1, WIDTH, mask_zero=True)(history)
interests, attention = SelfAttentiveExtractor(INTERESTS, return_attention=True)(items)
interests_plus, attention_plus = SelfAttentiveExtractor(
    INTERESTS, transformer=True, max_length=LENGTH, return_attention=True
)(items)
capsules, routing = DynamicRouting(INTERESTS, LENGTH, return_attention=True)(items)
blocks = [
    TransformerBlock(return_attention=True),
    SASRecBlock(2, return_attention=True),
    LiGRBlock(2, return_attention=True),
    HSTUBlock(LENGTH, 2, return_attention=True),
    FrequencyBlock(LENGTH, 1, return_attention=True),
]
encoded = [block(items) for block in blocks]
user, timed = TimeIntervalBlock(LENGTH, 50, return_attention=True)(items, times)
states, state = keras.layers.GRU(WIDTH, return_sequences=True, return_state=True)(items)
newest = [[NewestItem()(output) for output in both] for both in encoded]
vectors = [interests, interests_plus, capsules, *(of[0] for of in newest), user, state]
shares = [attention, attention_plus, routing, *(of[1] for of in newest), timed]
shares.append(StateChange()(states))
assert [vector.shape for vector in vectors] == 3 * [(None, INTERESTS, WIDTH)] + 7 * [(None, WIDTH)]
assert all(rows.shape == (None, None, None) for _, rows in encoded)
assert [share.shape[:2] for share in shares[:3]] == 3 * [(None, None)]

model = keras.Model([history, times], [vectors, shares])
path = Path(sys.argv[1]) / "model.keras"
model.save(path)
loaded = keras.saving.load_model(path)

rng = np.random.default_rng(0)
for width in (LENGTH, 3, 1):
    lengths = rng.integers(0, width, size=8, endpoint=True)
    right = np.arange(width) < lengths[:, None]
    real = np.concatenate([right, right[:, ::-1]])
    inputs = [
        np.where(real, rng.integers(1, ITEMS, size=real.shape, endpoint=True), 0),
        np.where(real, rng.integers(0, 40, size=real.shape).cumsum(axis=1), 0),
    ]
    expected = keras.tree.flatten(model.predict(inputs, verbose=0))
    found = keras.tree.flatten(loaded.predict(inputs, verbose=0))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    for share in found[len(vectors) :]:
        assert share.shape[:2] == real.shape
        assert (share[~real] == 0).all()
        for sums, some in zip(share.sum(axis=1), real.any(axis=1), strict=True):
            np.testing.assert_allclose(sums, some, atol=1e-5)
