"""Loads user towers, with nothing but Keras and the layers imported, and compares their outputs.

Usage: python load_towers.py <folder>; in it, beside each name.keras, name.npz has the inputs, and
the outputs under names that begin with `expected `.
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
    tower = keras.saving.load_model(path)
    with np.load(path.with_suffix(".npz")) as arrays:
        inputs = {tensor.name: arrays[tensor.name] for tensor in tower.inputs}
        given = tower.predict(inputs, verbose=0)
        expected = {name for name in arrays if name.startswith("expected ")}
        assert {f"expected {name}" for name in given} == expected
        for name, values in given.items():
            np.testing.assert_allclose(
                values,
                arrays[f"expected {name}"],
                rtol=1e-5,
                atol=1e-5,
                err_msg=f"{path.stem}, {name}",
            )
    print(path.stem)
imported = {name.partition(".")[0] for name in sys.modules}
assert not {"tensorflow_recommenders", "tf_keras", "ibis", "jsonargparse"} & imported
