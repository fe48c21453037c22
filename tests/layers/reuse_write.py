"""Trains a plain Keras model on this package's layers; saves it with its outputs.

Usage: python reuse_write.py <folder> <transformer: 0 or 1>
"""

import sys
from pathlib import Path

import keras
import numpy as np

from tfrs_timirec.layers import InterestAggregation, InterestPredictor, SelfAttentiveExtractor

ITEMS, LENGTH, WIDTH, INTERESTS = 30, 6, 8, 3

if keras.backend.backend() == "jax":
    assert "tensorflow" not in sys.modules
    sys.modules["tensorflow"] = None  # Keras itself would try to import it: as if not installed.

folder, transformer = Path(sys.argv[1]), sys.argv[2] == "1"

history = keras.Input((LENGTH,), dtype="int32", name="history")
candidate = keras.Input((), dtype="int32", name="candidate")
items = keras.layers.Embedding(ITEMS + 1, WIDTH, mask_zero=True, name="items")
predictor_items = keras.layers.Embedding(ITEMS + 1, WIDTH, mask_zero=True, name="own_items")
interests = SelfAttentiveExtractor(INTERESTS, transformer=transformer, max_length=LENGTH)(
    items(history)
)
logits = InterestPredictor(INTERESTS, num_layers=2, dropout=0.5)(predictor_items(history))
query = InterestAggregation()(interests, logits)
score = keras.layers.Dot(axes=1)([query, items(candidate)])
model = keras.Model([history, candidate], keras.layers.Activation("sigmoid")(score))
model.compile(optimizer="adam", loss="binary_crossentropy")

rng = np.random.default_rng(0)
lengths = rng.integers(1, LENGTH, size=(32, 1), endpoint=True)
histories = rng.integers(1, ITEMS, size=(32, LENGTH), endpoint=True).astype("int32")
histories[np.arange(LENGTH) >= lengths] = 0
candidates = rng.integers(1, ITEMS, size=32, endpoint=True).astype("int32")
before = [weight.copy() for weight in model.get_weights()]
model.fit([histories, candidates], rng.integers(2, size=32), batch_size=8, epochs=2, verbose=0)
moved = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]

model.save(folder / "model.keras")
np.savez(
    folder / "expected.npz",
    histories=histories,
    candidates=candidates,
    outputs=model.predict([histories, candidates], verbose=0),
    moved=moved,
)
assert "tensorflow_recommenders" not in sys.modules
