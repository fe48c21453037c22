"""A small recommender whose items are of three kinds, and what the explorer keeps of it."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from tfrs_timirec import Recommender
from tfrs_timirec.explorer.kept import kept
from tfrs_timirec.export.settings import ExportSettings

KINDS = ("Garden", "Kitchen", "Travel")
ITEMS = 60


class Explored(NamedTuple):
    """What tests ask about.

    Args:
        model: The folder of the saved recommender.
        recommender: As it was saved.
        titles: The settings of its titles.
        folder: What the explorer keeps.
    """

    model: Path
    recommender: Recommender
    titles: ExportSettings
    folder: Path


def log() -> pd.DataFrame:
    """120 users, who mostly stay with a kind and sometimes go on to another; items go in order."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(120):
        kind = int(rng.integers(3))
        places = rng.integers(ITEMS // 3, size=3)
        for time in range(12):
            kind = kind if rng.random() < 0.8 else int(rng.integers(3))
            places[kind] = (places[kind] + rng.integers(1, 3)) % (ITEMS // 3)
            rows.append((f"u{user}", f"i{3 * places[kind] + kind}", time))
    return pd.DataFrame(rows, columns=["user", "item", "time"])


@pytest.fixture(scope="session")
def titles(tmp_path_factory) -> Path:
    """A title and the kinds of all items but two; every sixth is of two kinds."""
    path = tmp_path_factory.mktemp("titles") / "titles.csv"
    rows = [
        (f"i{i}", f"{KINDS[i % 3]} thing {i}", KINDS[i % 3] + "|Gift" * (i % 6 == 0))
        for i in range(ITEMS - 2)
    ]
    pd.DataFrame(rows, columns=["item_id", "title", "kind"]).to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def explored(titles, eagerly, tmp_path_factory) -> Explored:
    """TiMiRec with three interests, trained for some epochs."""
    model = tmp_path_factory.mktemp("explored") / "model"
    settings = ExportSettings(titles=str(titles), categories_column="kind")
    recommender = Recommender(
        num_interests=3,
        embedding_size=16,
        history_length=6,
        initial_stddev=0.1,
        learning_rate=0.03,
        batch_size=2048,
        max_epochs=3,
        negatives=20,
        core=1,
    )
    with eagerly():
        recommender.fit(log(), user="user", item="item", time="time", silent=True)
    recommender.save(model)
    return Explored(model, recommender, settings, kept(model, settings, lambda told: None))


@pytest.fixture(scope="session")
def of_one_interest(tmp_path_factory) -> Path:
    """What the explorer keeps of popularity, without titles."""
    model = tmp_path_factory.mktemp("popularity") / "model"
    recommender = Recommender("popularity", core=1, negatives=20)
    recommender.fit(log(), user="user", item="item", time="time", silent=True).save(model)
    return kept(model, ExportSettings(), lambda told: None)


@pytest.fixture(scope="session")
def of_times(eagerly, tmp_path_factory) -> Path:
    """What the explorer keeps of a system that reads times, without titles."""
    model = tmp_path_factory.mktemp("times") / "model"
    recommender = Recommender("tisasrec", core=1, negatives=20, embedding_size=16, max_epochs=1)
    with eagerly():
        recommender.fit(log(), user="user", item="item", time="time", silent=True).save(model)
    return kept(model, ExportSettings(), lambda told: None)
