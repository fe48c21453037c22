"""A tiny recommender, trained once, and what it is trained on."""

import numpy as np
import pandas as pd
import pytest

from tfrs_timirec import Recommender


@pytest.fixture(scope="session")
def columns() -> dict[str, str]:
    """The names of the log's columns, as `fit` takes them."""
    return {"user": "customer", "item": "sku", "time": "bought_at"}


@pytest.fixture(scope="session")
def tiny() -> dict:
    """Settings of any system."""
    return {
        "embedding_size": 16,
        "history_length": 3,
        "initial_stddev": 0.1,
        "batch_size": 256,
        "max_epochs": 2,
        "negatives": 20,
        "core": 1,
        "seed": 3,
    }


@pytest.fixture(scope="session")
def frame(columns) -> pd.DataFrame:
    """60 users, who each have 10 of 40 items, none twice; more than a history holds."""
    rng = np.random.default_rng(0)
    rows = [
        (f"c-{user}", f"s-{item}", time)
        for user in range(60)
        for time, item in enumerate((rng.integers(40) + np.cumsum(rng.integers(1, 4, 10))) % 40)
    ]
    return pd.DataFrame(rows, columns=list(columns.values()))


@pytest.fixture(scope="session")
def newer(frame, columns) -> pd.DataFrame:
    """The log and what came after it, with a new user and a new item."""
    later = [(f"c-{user}", "s-new", 10) for user in range(20)]
    later += [("c-new", f"s-{item}", 10 + item) for item in range(5)]
    return pd.concat([frame, pd.DataFrame(later, columns=frame.columns)], ignore_index=True)


@pytest.fixture(scope="session")
def model(frame, columns, tiny, eagerly) -> Recommender:
    """TiMiRec with two interests; tests ask it and leave it as it is."""
    with eagerly():
        return Recommender(num_interests=2, **tiny).fit(frame, **columns, silent=True)


@pytest.fixture(scope="session")
def saved(model, tmp_path_factory):
    """The folder of the saved model; tests copy what they change."""
    folder = tmp_path_factory.mktemp("saved") / "model"
    model.save(folder)
    return folder
