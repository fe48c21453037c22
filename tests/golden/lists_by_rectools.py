"""Writes golden_lists.json: figures of lists by RecTools (https://github.com/MobileTeleSystems/RecTools).

RecTools 0.19 needs NumPy 1 on Python 3.11 and 3.12, and so an environment of its own:

    python -m venv /tmp/rectools && /tmp/rectools/bin/pip install rectools==0.19.0
    /tmp/rectools/bin/python tests/golden/lists_by_rectools.py
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from rectools import Columns
from rectools.metrics import (
    AvgRecPopularity,
    CatalogCoverage,
    IntraListDiversity,
    MeanInvUserFreq,
)
from rectools.metrics.distances import PairwiseDistanceCalculator

USERS, ITEMS, GENRES, CUTOFFS = 30, 25, 6, (1, 3, 8)


class Cosine(PairwiseDistanceCalculator):
    """1 − cosine of the genres of two items."""

    def __init__(self, genres: np.ndarray):
        units = genres / np.linalg.norm(genres, axis=1, keepdims=True)
        self.distances = 1 - units @ units.T

    def _get_distances_for_item_pairs(self, items_0, items_1):
        return self.distances[np.asarray(items_0, int) - 1, np.asarray(items_1, int) - 1]


def main() -> None:
    rng = np.random.default_rng(0)
    genres = np.maximum(
        rng.random((ITEMS, GENRES)) < 0.3, np.eye(GENRES)[np.arange(ITEMS) % GENRES]
    )
    popularity = rng.dirichlet(np.ones(ITEMS) / 2)
    order = [
        rng.choice(ITEMS, ITEMS, replace=False, p=popularity * 0.9 + 0.1 / ITEMS) + 1
        for _ in range(USERS)
    ]
    histories = [of[: rng.integers(2, 9)].tolist() for of in order]
    lists = [rng.permutation(of[10:])[: max(CUTOFFS)].tolist() for of in order]
    before = pd.DataFrame(
        [(user, item) for user, of in enumerate(histories) for item in of],
        columns=[Columns.User, Columns.Item],
    )
    shown = pd.DataFrame(
        [(user, item, rank) for user, of in enumerate(lists) for rank, item in enumerate(of, 1)],
        columns=[Columns.User, Columns.Item, Columns.Rank],
    )
    figures = {}
    for n in CUTOFFS:
        figures |= {
            f"Coverage@{n}": CatalogCoverage(k=n, normalize=True).calc(
                shown, np.arange(1, ITEMS + 1)
            ),
            f"Novelty@{n}": MeanInvUserFreq(k=n).calc(shown, before),
            f"Popularity@{n}": AvgRecPopularity(k=n).calc(shown, before),
            f"Diversity@{n}": IntraListDiversity(k=n, distance_calculator=Cosine(genres)).calc(
                shown
            ),
        }
    golden = {
        "genres": [[f"g{g}" for g in np.flatnonzero(of)] for of in genres],
        "histories": histories,
        "lists": lists,
        "figures": {name: float(value) for name, value in figures.items()},
    }
    path = Path(__file__).with_name("golden_lists.json")
    path.write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
