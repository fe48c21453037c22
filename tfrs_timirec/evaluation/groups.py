"""Figures of groups of users: who is served well, and who is not."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfrs_timirec.data.task import Task
from tfrs_timirec.evaluation.report import Ranks, summarise


def groups(
    ranks: Ranks, task: Task, counts: np.ndarray, cutoffs: Sequence[int]
) -> dict[str, dict[str, Any]]:
    """The metrics of users with short and long histories, and of rare and popular targets.

    Each pair is split at the median of the targets; where all are alike, there are no groups. Users
    that are new after the training part are in none.

    Args:
        ranks: Of the test targets, by system and protocol.
        task: What was tested.
        counts: int64 [items], the interactions of each item in training.
        cutoffs: The N of HR@N and the like.

    Returns:
        By `short histories`, `long histories`, `rare targets` and `popular targets`: `from` and
        `to`, the interactions of the history, or of the target in training, `targets`, how many
        there are, and `test`, their figures. A user's targets outside of the group are candidates
        there.
    """
    targets = task.test
    old = np.flatnonzero(~task.is_new[targets.users])
    lengths = targets.end - targets.begin
    # A target that is not known is item 0.
    popularity = np.append(counts, 0)[targets.positives - 1]
    found = {}
    for values, low, high in (
        (lengths[old], "short histories", "long histories"),
        (popularity[old], "rare targets", "popular targets"),
    ):
        if not len(values) or not np.ptp(values):
            continue
        median = np.median(values)
        # Where most have the largest value, it alone is high.
        is_low = values <= median if median < values.max() else values < median
        for name, inside in ((low, is_low), (high, ~is_low)):
            chosen = old[inside]
            of_chosen = {
                system: {
                    protocol: _among_others(of[old], targets.users[old], inside)
                    for protocol, of in of_protocol.items()
                }
                for system, of_protocol in ranks.items()
            }
            found[name] = {
                "from": int(values[inside].min()),
                "to": int(values[inside].max()),
                "targets": len(chosen),
                "test": summarise(of_chosen, targets.users[chosen], cutoffs),
            }
    return found


def _among_others(ranks: np.ndarray, users: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The ranks of a group's targets, each user's other targets counted as candidates."""
    order = np.lexsort((ranks, users))
    outside = ~inside[order]
    before = np.cumsum(outside) - outside
    first = np.searchsorted(users[order], users[order])
    counted = ranks.copy()
    counted[order] += before - before[first]
    return counted[inside]
