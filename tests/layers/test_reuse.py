"""The layers in a plain Keras 3 model, without TensorFlow Recommenders, on two backends."""

import numpy as np
import pytest

from tests.layers.processes import run_script

VARIANTS = ["others", "stacked", "timirec", "timirec_plus"]


@pytest.mark.long
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_fitted_keras_models_are_the_same_in_a_fresh_process(tmp_path, backend):
    run_script(backend, "reuse_write.py", tmp_path)
    for variant in VARIANTS:
        with np.load(tmp_path / f"{variant}.npz") as expected:
            assert np.ptp(expected["outputs"]) > 0
            assert expected["moved"].all()
    assert run_script(backend, "reuse_read.py", tmp_path).split() == VARIANTS


@pytest.mark.long
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_importing_the_package_and_the_layers_changes_nothing_in_the_process(backend):
    run_script(backend, "import_alone.py")


@pytest.mark.long
def test_tf_keras_stays_keras_3_beside_the_recommender():
    run_script("tensorflow", "tf_keras_stays.py")
