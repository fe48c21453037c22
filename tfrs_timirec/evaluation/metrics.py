"""Metrics of the ranks of each user's targets."""

import re
from collections.abc import Sequence

import numpy as np

# A rank that no cutoff reaches.
BEYOND = 2**31


def metric_names(cutoffs: Sequence[int], several: bool) -> list[str]:
    """The names of the metrics to report.

    Args:
        cutoffs: The N of HR@N and the like.
        several: Whether users have several targets; with one, Recall@N is HR@N, Precision@N is a
            share of it, and MAP is MRR.
    """
    kinds = ("HR", "NDCG", "Recall", "Precision", "MAP") if several else ("HR", "NDCG")
    return [f"{kind}@{n}" for kind in kinds for n in cutoffs] + ["MRR"]


def shown_cutoff(cutoffs: Sequence[int]) -> int:
    """The N of the metrics that are shown first: 10, or the largest where there is no 10.

    Args:
        cutoffs: The N of HR@N and the like.
    """
    return 10 if 10 in cutoffs else max(cutoffs)


def headline(cutoffs: Sequence[int]) -> tuple[str, str]:
    """The metrics that are shown first: HR@10 and NDCG@10, where there are any at 10.

    Args:
        cutoffs: The N of HR@N and the like.
    """
    n = shown_cutoff(cutoffs)
    return f"HR@{n}", f"NDCG@{n}"


def metric(name: str, ranks: np.ndarray, users: np.ndarray | None = None) -> np.ndarray:
    """Each user's contribution to a metric; the metric is their mean.

    With p_1 < p_2 < … the places, from 0, of a user's R targets in the list of all candidates:
    `HR@N` is 1 if p_1 < N; `Recall@N` is the share of the targets and `Precision@N` that of the
    first N places with p < N; `NDCG@N` is Σ 1 / log2(p + 2) over p < N, divided by what the best
    list has (Järvelin and Kekäläinen, TOIS 2002); `MAP@N` is Σ_j j / (p_j + 1) over p_j < N,
    divided by min(R, N); `MRR` is 1 / (p_1 + 1).

    Args:
        name: Of the metric.
        ranks: int [targets], candidates that score as high as the target or higher, other targets
            of the user not counted.
        users: int [targets], the user of each target; None where each user has one.

    Returns:
        float64 [users that have targets], from 0 to 1, by ascending user.

    Raises:
        ValueError: If there is no such metric.
    """
    match = re.fullmatch(r"(HR|NDCG|Recall|Precision|MAP)@([1-9]\d*)", name)
    if not match and name != "MRR":
        raise ValueError(
            f"The metric {name!r} is unknown: use HR@N, NDCG@N, Recall@N, Precision@N, MAP@N or "
            f"MRR."
        )
    if users is None:
        users = np.arange(len(ranks))
    order = np.lexsort((ranks, users))
    users = users[order]
    first = np.flatnonzero(np.diff(users, prepend=-1))
    count = np.diff(first, append=len(users))
    before = np.arange(len(users)) - np.repeat(first, count)
    # A target comes after the candidates above it and the user's better targets.
    places = ranks[order] + before
    if name == "MRR":
        return 1 / (places[first] + 1)
    kind, n = match[1], int(match[2])

    def total(gains):
        # For no targets at all, reduceat would refuse.
        counted = np.where(places < n, gains, 0.0)
        return np.add.reduceat(counted, first) if len(first) else counted

    if kind == "HR":
        return (places[first] < n).astype(float)
    if kind == "Recall":
        return total(1.0) / count
    if kind == "Precision":
        return total(1.0) / n
    most = np.minimum(count, n)
    if kind == "MAP":
        return total((before + 1) / (places + 1)) / most
    best = np.cumsum(1 / np.log2(np.arange(n) + 2))
    return total(1 / np.log2(places + 2)) / best[most - 1]
