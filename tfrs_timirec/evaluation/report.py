"""The figures of an evaluation, and the table that shows them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from tfrs_timirec.data.task import Task
from tfrs_timirec.evaluation.metrics import metric, metric_names

PROTOCOLS = ("sampled", "full")

# System → protocol → int64 [targets].
Ranks = dict[str, dict[str, np.ndarray]]
# System → protocol → metric → value.
Figures = dict[str, dict[str, dict[str, float]]]


def summarise(ranks: Ranks, users: np.ndarray, cutoffs: Sequence[int]) -> Figures:
    """The means of all metrics.

    Args:
        ranks: By system and protocol.
        users: int64 [targets], the user of each target.
        cutoffs: The N of HR@N and the like.
    """
    names = metric_names(cutoffs, several=len(np.unique(users)) < len(users))
    return {
        system: {
            protocol: {name: float(metric(name, values, users).mean()) for name in names}
            for protocol, values in of_protocol.items()
        }
        for system, of_protocol in ranks.items()
    }


def metrics_of(ranks: Ranks, task: Task, cutoffs: Sequence[int]) -> dict[str, Any]:
    """The figures of the test; users that are new after the training part are reported separately.

    Args:
        ranks: Of the test targets.
        task: What was tested.
        cutoffs: The N of HR@N and the like.

    Returns:
        `users`, how many were tested, and `test`, their figures; with new users also `new users`
        and `test, new users`.
    """
    users = task.test.users
    new = task.is_new[users]
    metrics: dict[str, Any] = {}
    for ending, chosen in (("", ~new), ("new users", new)):
        if chosen.any() or not ending:
            of_chosen = {
                system: {protocol: values[chosen] for protocol, values in of_protocol.items()}
                for system, of_protocol in ranks.items()
            }
            metrics[ending or "users"] = len(np.unique(users[chosen]))
            figures = summarise(of_chosen, users[chosen], cutoffs)
            metrics[f"test, {ending}" if ending else "test"] = figures
    return metrics


def print_metrics(metrics: dict[str, Any], negatives: int) -> None:
    """Prints the figures of `metrics_of`, one table per protocol, and what else was found.

    Args:
        metrics: Of a recommender.
        negatives: Items drawn for each user.
    """
    _print_tables("Test", metrics["test"], negatives)
    if "new users" in metrics:
        title = f"Test, {metrics['new users']:,} users that are new after the training part"
        _print_tables(title, metrics["test, new users"], negatives)
    if planted := metrics.get("planted interests"):
        print(
            f"The predictor names the planted interest of {planted['agreement']:.1%} of the "
            f"users; naming always the same one, {planted['most frequent']:.1%}."
        )


def _print_tables(title: str, figures: Figures, negatives: int) -> None:
    candidates = (f"{negatives:,} negatives", "the whole catalogue")
    for protocol, among in zip(PROTOCOLS, candidates, strict=True):
        names = list(next(iter(figures.values()))[protocol])
        table = Table("system", title=f"{title}, target among {among}")
        for name in names:
            table.add_column(name, justify="right")
        for system, of_protocol in figures.items():
            table.add_row(system, *(f"{of_protocol[protocol][name]:.4f}" for name in names))
        Console(width=max(120, 40 + 14 * len(names))).print(table)
