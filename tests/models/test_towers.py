"""A user tower is a plain Keras model: kept in one file, opened anywhere, and trained on."""

import keras
import numpy as np
import pytest

from tests.layers.processes import run_script
from tests.models.variants import (
    ITEMS,
    VARIANTS,
    make,
    quick_ones,
    settings_of,
    with_an_empty_history,
)
from tfrs_timirec.models.systems import SYSTEMS

variants = pytest.mark.parametrize("variant", VARIANTS)


@pytest.fixture(scope="module")
def models():
    """A model of each variant, with weights that are not those of its seed alone."""
    models = {variant: make(variant) for variant in VARIANTS}
    models["popularity"].learn_counts(np.arange(ITEMS))
    rng = np.random.default_rng(0)
    for model in models.values():
        for weight in model.user_tower.trainable_weights:
            weight.assign_add(0.1 * rng.normal(size=weight.shape))
    return models


@pytest.fixture(scope="module")
def saved(models, tmp_path_factory):
    """The towers on disk, each with inputs and outputs."""
    folder = tmp_path_factory.mktemp("towers")
    inputs = with_an_empty_history()
    for variant, model in models.items():
        model.user_tower.save(folder / f"{variant}.keras")
        given = {f"expected {name}": np.asarray(v) for name, v in model.represent(inputs).items()}
        np.savez(folder / f"{variant}.npz", **inputs, **given)
    return folder


@pytest.mark.long
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_fresh_process_opens_all_towers_with_keras_and_the_layers_alone(saved, backend):
    opened = run_script(backend, "load_towers.py", saved)
    assert sorted(opened.splitlines()) == sorted(VARIANTS)


@pytest.mark.parametrize("variant", quick_ones(list(VARIANTS)))
def test_a_system_around_a_loaded_tower_is_the_same(models, saved, variant):
    tower = keras.saving.load_model(saved / f"{variant}.keras")
    model, settings = models[variant], settings_of(variant)
    again = SYSTEMS[settings.system](tower, settings)
    assert again.state.keys() == model.state.keys()
    for weight in model.user_tower.weights:
        np.testing.assert_array_equal(again.state[weight.path].value, weight.value)
    assert (again.num_items, again.title) == (ITEMS, model.title)
    inputs = with_an_empty_history()
    rng = np.random.default_rng(1)
    users = len(inputs["history"])
    for name in ("positive", "negative"):
        inputs[name] = rng.integers(1, ITEMS + 1, users).astype(np.int32)
    phases = zip(again.phases() or [again], model.phases() or [model], strict=True)
    for ours, theirs in phases:
        assert ours.state.keys() == theirs.state.keys()
        loss = np.asarray(theirs.compute_loss(inputs))
        assert np.isfinite(loss).all() and np.ptp(loss) > 0
        np.testing.assert_allclose(ours.compute_loss(inputs), loss, rtol=1e-6)
