"""Small systems of every kind, and inputs of their towers."""

import numpy as np
import pytest

from tfrs_timirec.models.base import SequentialRecommender
from tfrs_timirec.models.settings import ModelSettings
from tfrs_timirec.models.systems import SYSTEMS, systems_with

ITEMS, SIZE, LENGTH, INTERESTS, BATCH = 30, 8, 6, 3, 16
# The settings of each variant; `system` where it is not the variant's name.
VARIANTS = {
    "popularity": {},
    "youtube_dnn": {},
    "gru4rec": {},
    "mind": {},
    "mind, p = 2": {"system": "mind", "label_power": 2.0},
    "comirec": {},
    "comirec+": {"system": "comirec", "transformer": True, "dropout": 0.2},
    "sasrec": {"dropout": 0.2},
    "sasrec_deep": {"heads": 2},
    "esasrec": {"heads": 2},
    "bsarec": {"heads": 2, "lowest_frequencies": 1},
    "hstu": {"heads": 2},
    "comirec_ligr": {"blocks": 1},
    "comirec_bsarec": {"blocks": 1},
    "comirec, REMI": {
        "system": "comirec",
        "objective": "sampled_softmax",
        "hardness": 0.5,
        "routing_penalty": 0.1,
    },
    "tisasrec": {"dropout": 0.2, "max_interval": 9},
    "timirec": {},
    "timirec, positions": {"system": "timirec", "positions": True},
    "timirec, joint": {"system": "timirec", "pretraining": False, "stop_gradient": False},
    "timirec+, softmax": {
        "system": "timirec",
        "transformer": True,
        "dropout": 0.2,
        "objective": "sampled_softmax",
    },
    "timirec_ligr": {"routing_penalty": 0.1},
    "timirec_bsarec": {"blocks": 1},
    "timirec_mind": {"predictor_layers": 2, "predictor_dropout": 0.2, "temperature": 0.5},
}


# Those that between them have every layer and every kind of loss.
QUICK = ("mind", "comirec+", "sasrec", "tisasrec", "bsarec", "timirec+, softmax", "timirec_ligr")


def quick_ones(variants: list[str]) -> list:
    """Variants as parameters; all but some are long."""
    long = pytest.mark.long
    return [pytest.param(name, marks=[long] * (name not in QUICK)) for name in variants]


def system_of(variant: str) -> str:
    """The name of a variant's system."""
    return VARIANTS[variant].get("system", variant)


def settings_of(variant: str) -> ModelSettings:
    """The settings of a variant, all of its system's own type."""
    system = system_of(variant)
    shape = {"embedding_size": SIZE, "history_length": LENGTH}
    if system in systems_with("num_interests"):
        shape["num_interests"] = INTERESTS
    return SYSTEMS[system].settings_type(**{**shape, **VARIANTS[variant], "system": system})


def make(variant: str, seed: int = 0, stddev: float | None = 0.5) -> SequentialRecommender:
    """An untrained system."""
    return SYSTEMS[system_of(variant)].create(ITEMS, settings_of(variant), stddev, seed)


def histories(seed: int = 0, batch: int = BATCH) -> dict[str, np.ndarray]:
    """`history` int32 [batch, LENGTH] of 1 to LENGTH items, and `times` int64 of that shape."""
    rng = np.random.default_rng(seed)
    real = np.arange(LENGTH) < rng.integers(1, LENGTH + 1, (batch, 1))
    real[0] = True
    items = np.where(real, rng.integers(1, ITEMS + 1, real.shape), 0).astype(np.int32)
    times = np.where(real, 10**9 + rng.integers(0, 3, real.shape).cumsum(axis=1), 0)
    return {"history": items, "times": times}


def with_an_empty_history(seed: int = 0) -> dict[str, np.ndarray]:
    """The same inputs, the last history empty."""
    inputs = histories(seed)
    for values in inputs.values():
        values[-1] = 0
    return inputs
