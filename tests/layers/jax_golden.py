"""Compares the layers on the JAX backend with the golden vectors.

Usage: python jax_golden.py
"""

import sys

import keras
import numpy as np

from tests.golden.layout import VARIANTS, read_golden, reference_in_keras_layout
from tfrs_timirec.layers import InterestAggregation, InterestPredictor, SelfAttentiveExtractor


def compare(variant: str) -> None:
    golden = read_golden(variant)
    weights = reference_in_keras_layout(golden, "weight")
    tables = {
        name: keras.layers.Embedding(
            *weights[f"{name}/embeddings"].shape, mask_zero=True, name=name
        )
        for name in ("items", "predictor_items")
    }
    extractor = SelfAttentiveExtractor(
        int(golden["meta/num_interests"]),
        transformer="extractor/position/table" in weights,
        max_length=golden["in/history"].shape[1],
        name="extractor",
    )
    predictor = InterestPredictor(
        int(golden["meta/num_interests"]),
        num_layers=2 if "predictor/hidden_0/kernel" in weights else 1,
        name="predictor",
    )
    history = golden["in/history"]
    for table, layer in (("items", extractor), ("predictor_items", predictor)):
        layer(tables[table](history))
    variables = [v for layer in (*tables.values(), extractor, predictor) for v in layer.weights]
    assert {variable.path for variable in variables} == set(weights)
    for variable in variables:
        variable.assign(weights[variable.path])

    interests = extractor(tables["items"](history))
    logits = predictor(tables["predictor_items"](history))
    query = InterestAggregation()(interests, logits)
    scores = keras.ops.einsum("bd,bcd->bc", query, tables["items"](golden["in/items"]))
    for ours, name in ((interests, "interests"), (logits, "predictor_logits"), (scores, "scores")):
        np.testing.assert_allclose(np.asarray(ours), golden[f"out/{name}"], rtol=1e-5, atol=1e-5)


for variant in VARIANTS:
    compare(variant)
    print(variant)
assert keras.backend.backend() == "jax"
assert "tensorflow" not in sys.modules
