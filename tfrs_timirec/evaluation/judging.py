"""Everything that an evaluation finds out about trained systems."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from scipy import sparse

from tfrs_timirec.data.instances import Instances, positions
from tfrs_timirec.data.task import Task
from tfrs_timirec.evaluation.groups import groups
from tfrs_timirec.evaluation.interests import Observed, interest_figures, observe
from tfrs_timirec.evaluation.lists import Attributes, ListFigures
from tfrs_timirec.evaluation.protocols import protocol_ranks
from tfrs_timirec.evaluation.ranking import Ranker
from tfrs_timirec.evaluation.report import Ranks, metrics_of
from tfrs_timirec.models.base import SequentialRecommender
from tfrs_timirec.retrieval import Retrieval

# Lists and interests are those of a sample of about so many users, where there are more.
MOST_USERS = 100_000


def judge(
    systems: Iterable[tuple[str, SequentialRecommender]],
    popularity: SequentialRecommender,
    counts: np.ndarray,
    task: Task,
    cutoffs: Sequence[int],
    attributes: Attributes | None = None,
) -> tuple[dict[str, Any], Ranks]:
    """The metrics of systems and of popularity, and the ranks of the test targets.

    Args:
        systems: By name; each is ranked with before the next one is asked for. Of the last one
            everything is found out: those before it are its phases, systems in their own right.
        popularity: The baseline.
        counts: int64 [items], the interactions of each item in training.
        task: What is tested; its shards are in memory one at a time.
        cutoffs: The N of HR@N and the like.
        attributes: Of the items; None if they are not known.

    Returns:
        What `tfrs_timirec.evaluation.report.metrics_of` does, with `groups`, those of
        `tfrs_timirec.evaluation.groups.groups`; `lists`, by system the figures of
        `tfrs_timirec.evaluation.lists.ListFigures`; and `interests`, by system with several
        the figures of `tfrs_timirec.evaluation.interests.interest_figures`; and the ranks.
    """
    ranks: Ranks = {}
    baseline = Ranker(popularity)
    for name, system in chain([(popularity.title, popularity)], systems):
        ranks[name] = _ranks(Ranker(system), baseline, task)
    metrics = metrics_of(ranks, task, cutoffs)
    metrics["groups"] = groups(ranks, task, counts, cutoffs)
    whole = {popularity.title: popularity, name: system}
    metrics["lists"] = {
        name: _list_figures(system, counts, task, cutoffs, attributes)
        for name, system in whole.items()
    }
    figures = {
        name: _interest_figures(system, task, ranks[name]["full"], cutoffs)
        for name, system in whole.items()
        if system.user_tower.output["interests"].shape[1] > 1
    }
    # Of a system without any target that it knows nothing is found.
    metrics["interests"] = {name: found for name, found in figures.items() if found}
    return metrics, ranks


def _ranks(ranker: Ranker, popularity: Ranker, task: Task) -> dict[str, np.ndarray]:
    of_parts = [
        protocol_ranks(ranker, popularity, part.test, part.negatives) for part in task.parts()
    ]
    return {
        protocol: np.concatenate([of_part[protocol] for of_part in of_parts])
        for protocol in of_parts[0]
    }


def _list_figures(
    system: SequentialRecommender,
    counts: np.ndarray,
    task: Task,
    cutoffs: Sequence[int],
    attributes: Attributes | None,
) -> dict[str, float]:
    figures = ListFigures(counts, cutoffs, attributes)
    retrieval = Retrieval(system, counts)
    k, allowed = min(max(cutoffs), len(counts)), np.ones(len(counts), bool)
    for part in task.parts():
        targets = part.test.chosen(_sample(part, task))
        one = targets.chosen(np.unique(targets.users, return_index=True)[1])
        # What the users had is excluded, but not their targets.
        users = replace(one, part_end=one.end)
        for best in retrieval.best(users, k, allowed):
            figures.add(best.items, _histories(users.chosen(best.rows), len(counts)))
    return figures.figures()


def _histories(users: Instances, num_items: int) -> sparse.csr_array:
    """float64 [users, items + 1], how often each had each item that is known."""
    rows, places = positions(users.begin, users.end)
    items = users.items[places]
    index = (rows[items > 0], items[items > 0])
    return sparse.csr_array((np.ones(len(index[0])), index), shape=(len(users), num_items + 1))


def _interest_figures(
    system: SequentialRecommender, task: Task, ranks: np.ndarray, cutoffs: Sequence[int]
) -> dict[str, Any]:
    ranker = Ranker(system)
    observed, oracle, rows = [], [], []
    before = 0
    for part in task.parts():
        chosen = _sample(part, task)
        chosen = chosen[part.test.positives[chosen] > 0]
        if len(chosen):
            targets = part.test.chosen(chosen)
            observed.append(observe(system, targets))
            oracle.append(ranker.oracle_ranks(targets))
            rows.append(before + chosen)
        before += len(part.test)
    if not observed:
        return {}
    places = np.concatenate(rows)
    return interest_figures(
        Observed.joined(observed),
        ranks[places],
        np.concatenate(oracle),
        task.test.users[places],
        cutoffs,
    )


def _sample(part: Task, task: Task) -> np.ndarray:
    """int64 [n], targets of the part: of users that are not new, with a history that is known."""
    targets = part.test
    histories = targets.histories(np.arange(len(targets)), targets.max_length)
    share = MOST_USERS / task.store.num_users
    drawn = np.random.default_rng(part.seed).random(part.store.num_users) < share
    usable = histories.any(axis=1) & (drawn & ~part.is_new)[targets.users]
    return np.flatnonzero(usable)
