"""Tables of what an evaluation finds beside the metrics of the test."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from tfrs_timirec.evaluation import interests, lists
from tfrs_timirec.evaluation.metrics import headline, shown_cutoff


def print_tables(metrics: dict[str, Any], cutoffs: Sequence[int]) -> None:
    """Prints groups, lists and interests, with a line on what each figure says.

    Args:
        metrics: What `tfrs_timirec.evaluation.judging.judge` finds.
        cutoffs: The N of its metrics.
    """
    shown = headline(cutoffs)
    if metrics["groups"]:
        _print(_groups(metrics["groups"], shown))
    _print(_lists(metrics["lists"], shown_cutoff(cutoffs)))
    if metrics["interests"]:
        _print(_interests(metrics["interests"], shown))


def _groups(groups: dict[str, dict[str, Any]], names: Sequence[str]) -> Table:
    table = Table("group", title="Whom it serves, target among the whole catalogue")
    for heading in ("targets", "interactions"):
        table.add_column(heading, justify="right")
    for system in next(iter(groups.values()))["test"]:
        for name in names:
            table.add_column(f"{system}\n{name}", justify="right")
    for group, of_group in groups.items():
        figures = [
            of_system["full"][name] for of_system in of_group["test"].values() for name in names
        ]
        within = f"{of_group['from']:,} to {of_group['to']:,}"
        cells = (f"{value:.4f}" for value in figures)
        table.add_row(group, f"{of_group['targets']:,}", within, *cells)
    return table


def _lists(figures: dict[str, dict[str, float]], n: int) -> Table:
    title = f"What the lists show: {n} items of the whole catalogue, less what the user had"
    table = _with_meanings(title, figures)
    for kind, meaning in lists.MEANING.items():
        _add_row(table, f"{kind}@{n}", [of.get(f"{kind}@{n}") for of in figures.values()], meaning)
    return table


def _interests(figures: dict[str, dict[str, Any]], names: Sequence[str]) -> Table:
    table = _with_meanings("What the interests are worth", figures)
    counts = [f"{of['interests']}" for of in figures.values()]
    table.add_row("interests", *counts, "K, those that the system has of each user")
    for name, meaning in interests.MEANING.items():
        _add_row(table, name, [of.get(name) for of in figures.values()], meaning)
    for name in names:
        for who, meaning in (
            ("model", "target among the whole catalogue"),
            ("oracle", "the same, if the interest that suits the target best were known"),
        ):
            values = [of[who][name] for of in figures.values()]
            _add_row(table, f"{name}, {who}", values, meaning)
    return table


def _with_meanings(title: str, figures: dict[str, dict]) -> Table:
    table = Table("", title=title)
    for system in figures:
        table.add_column(system, justify="right")
    table.add_column("")
    return table


def _add_row(table: Table, name: str, values: list[float | None], meaning: str) -> None:
    """Adds what any of the systems has a figure of."""
    if any(value is not None for value in values):
        cells = ("" if value is None else f"{value:,.4f}" for value in values)
        table.add_row(name, *cells, meaning)


def _print(table: Table) -> None:
    Console(width=200).print(table)
