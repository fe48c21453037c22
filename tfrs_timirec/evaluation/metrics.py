"""Metrics of the rank of each user's one target."""

import re
from collections.abc import Sequence

import numpy as np


def metric_names(cutoffs: Sequence[int]) -> list[str]:
    """The names that `metric` takes, for these cutoffs."""
    return [f"HR@{n}" for n in cutoffs] + [f"NDCG@{n}" for n in cutoffs] + ["MRR"]


def metric(name: str, ranks: np.ndarray) -> np.ndarray:
    """What each user adds to a metric; the metric is the mean.

    Args:
        name: `HR@N` (the target is among the first N), `NDCG@N` (1 / log2(rank + 2) if it is) or
            `MRR` (1 / (rank + 1)).
        ranks: int [users], candidates that score as high as the target or higher.

    Returns:
        float64 [users], from 0 to 1.

    Raises:
        ValueError: If there is no such metric.
    """
    if name == "MRR":
        return 1 / (ranks + 1)
    match = re.fullmatch(r"(HR|NDCG)@([1-9]\d*)", name)
    if not match:
        raise ValueError(f"The metric {name!r} is unknown: use HR@N, NDCG@N or MRR.")
    hit = ranks < int(match[2])
    return hit.astype(float) if match[1] == "HR" else hit / np.log2(ranks + 2)
