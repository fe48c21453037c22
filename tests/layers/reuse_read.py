"""Loads what reuse_write.py saved, with nothing but Keras and the layers imported.

Usage: python reuse_read.py <folder>
"""

import sys
from pathlib import Path

import keras
import numpy as np

import tfrs_timirec.layers  # noqa: F401 - registers the layers

if keras.backend.backend() == "jax":
    assert "tensorflow" not in sys.modules
    sys.modules["tensorflow"] = None  # Keras itself would try to import it: as if not installed.

for path in sorted(Path(sys.argv[1]).glob("*.keras")):
    model = keras.models.load_model(path)
    with np.load(path.with_suffix(".npz")) as expected:
        inputs = [expected[f"arr_{i}"] for i in range(len(model.inputs))]
        found = model.predict(inputs, verbose=0)
        np.testing.assert_allclose(found, expected["outputs"], rtol=1e-6, atol=1e-6)
    print(path.stem)
assert "tensorflow_recommenders" not in sys.modules
