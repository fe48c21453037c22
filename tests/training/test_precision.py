"""Steps whose layers compute in bfloat16 do nearly what those in float32 do."""

import numpy as np
import pytest
import tensorflow as tf

from tests.halves import halves
from tests.models.variants import LENGTH, VARIANTS, histories, make
from tests.training.test_optimizers import batch
from tfrs_timirec.config import TrainingSettings
from tfrs_timirec.training.precision import computing_in
from tfrs_timirec.training.step import STEPS
from tfrs_timirec.training.workers import ALONE

LEARNED = [variant for variant in VARIANTS if variant != "popularity"]

pytestmark = halves


def policies(model) -> set[str]:
    layers = model.user_tower._flatten_layers(include_self=False)
    return {layer.dtype_policy.name for layer in layers}


@pytest.mark.parametrize("variant", LEARNED)
def test_the_losses_are_nearly_those_of_float32(variant):
    model = make(variant, stddev=0.2)
    inputs = batch(0) | {"times": histories()["times"]}
    exact = np.asarray(model.compute_loss(inputs))
    with computing_in("bfloat16", model.user_tower):
        assert policies(model) == {"mixed_bfloat16"}
        rounded = model.compute_loss(inputs)
    assert rounded.dtype == tf.float32
    assert (np.asarray(rounded) != exact).any()
    np.testing.assert_allclose(rounded, exact, rtol=0.05, atol=0.05)
    # What comes after the step computes in float32 again.
    assert policies(model) == {"float32"}


@pytest.mark.parametrize("optimizer", ["adam", "lazy_adam"])
def test_steps_learn_and_keep_the_weights_in_float32(optimizer, eager):
    model = make("comirec+", stddev=0.2)
    settings = TrainingSettings(optimizer=optimizer, precision="bfloat16", learning_rate=0.01)
    step = STEPS[optimizer](model, settings, 1, ALONE)
    losses = [step(batch(0))[0] for _ in range(20)]
    assert losses[-1] < 0.7 * losses[0]
    assert {variable.dtype for variable in step.state.values()} <= {"float32", "int64", "uint32"}


def test_the_products_of_a_step_are_those_of_the_precision():
    model = make("timirec+, softmax")
    step = STEPS["adam"](model, TrainingSettings(precision="bfloat16"), 1, ALONE)
    inputs = {name: tf.constant(value) for name, value in batch(0).items()}
    assert inputs["history"].shape[1] == LENGTH
    graph = tf.function(step._sums, autograph=False).get_concrete_function(inputs).graph
    products = [each for each in graph.get_operations() if "MatMul" in each.type]
    assert {each.outputs[0].dtype for each in products} == {tf.bfloat16}
