"""Trains plain Keras models on this package's layers; saves each with its outputs.

Usage: python reuse_write.py <folder>
"""

import sys
from pathlib import Path

import keras
import numpy as np

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
    TimeIntervalBlock,
    TransformerBlock,
)

VARIANTS = ("timirec", "timirec_plus", "others", "stacked")
ITEMS, LENGTH, WIDTH, INTERESTS = 30, 6, 8, 3

if keras.backend.backend() == "jax":
    assert "tensorflow" not in sys.modules
    sys.modules["tensorflow"] = None  # Keras itself would try to import it: as if not installed.


def write(folder: Path, variant: str) -> None:
    history = keras.Input((LENGTH,), dtype="int32", name="history")
    times = keras.Input((LENGTH,), dtype="int32", name="times")
    candidate = keras.Input((), dtype="int32", name="candidate")
    items = keras.layers.Embedding(ITEMS + 1, WIDTH, mask_zero=True, name="items")
    if variant == "others":
        x = items(history)
        newest = NewestItem()(TransformerBlock(dropout=0.5)(DistanceToEndEmbedding(LENGTH)(x)))
        timed = TimeIntervalBlock(LENGTH, max_interval=20, dropout=0.5)(x, times)
        mean = keras.layers.Dense(WIDTH)(HistoryMean()(x))
        routed = keras.ops.sum(DynamicRouting(INTERESTS, LENGTH)(x), axis=1)
        query = keras.layers.Add()([newest, timed, mean, routed])
    elif variant == "stacked":
        x = DistanceToStartEmbedding(LENGTH)(items(history))
        x = SASRecBlock(2, dropout=0.5)(x)
        x = LiGRBlock(2, dropout=0.5)(x)
        x = HSTUBlock(LENGTH, 2, dropout=0.5)(x)
        query = NewestItem()(FrequencyBlock(LENGTH, 1, dropout=0.5)(x))
    else:
        predictor_items = keras.layers.Embedding(ITEMS + 1, WIDTH, mask_zero=True, name="own_items")
        interests = SelfAttentiveExtractor(
            INTERESTS, transformer=variant == "timirec_plus", max_length=LENGTH
        )(items(history))
        logits = InterestPredictor(INTERESTS, num_layers=2, dropout=0.5)(predictor_items(history))
        query = InterestAggregation()(interests, logits)
    score = keras.layers.Dot(axes=1)([query, items(candidate)])
    asked = [history, candidate, *([times] if variant == "others" else [])]
    model = keras.Model(asked, keras.layers.Activation("sigmoid")(score))
    # TensorFlow would compile for longer than it trains; JAX knows no other way.
    jit = keras.backend.backend() == "jax"
    model.compile(optimizer="adam", loss="binary_crossentropy", jit_compile=jit)

    rng = np.random.default_rng(0)
    lengths = rng.integers(1, LENGTH, size=(32, 1), endpoint=True)
    histories = rng.integers(1, ITEMS, size=(32, LENGTH), endpoint=True).astype("int32")
    histories[np.arange(LENGTH) >= lengths] = 0
    candidates = rng.integers(1, ITEMS, size=32, endpoint=True).astype("int32")
    given = {
        "history": histories,
        "candidate": candidates,
        "times": rng.integers(0, 40, size=(32, LENGTH)).cumsum(axis=1).astype("int32"),
    }
    inputs = [given[tensor.name] for tensor in asked]
    before = [weight.copy() for weight in model.get_weights()]
    model.fit(inputs, rng.integers(2, size=32), batch_size=8, epochs=2, verbose=0)
    moved = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]

    model.save(folder / f"{variant}.keras")
    np.savez(
        folder / f"{variant}.npz",
        *inputs,
        outputs=model.predict(inputs, verbose=0),
        moved=[m for m, weight in zip(moved, model.weights, strict=True) if weight.trainable],
    )


for variant in VARIANTS:
    write(Path(sys.argv[1]), variant)
assert "tensorflow_recommenders" not in sys.modules
