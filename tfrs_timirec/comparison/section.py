"""What a section of the report holds, and what it is made of."""

from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from tfrs_timirec.comparison.interests import Trained
from tfrs_timirec.comparison.results import differences, read_metrics
from tfrs_timirec.comparison.settings import ComparisonSettings, Entry, Plan, read_titles
from tfrs_timirec.evaluation.metrics import headline, shown_cutoff
from tfrs_timirec.pages.pictures import Picture


@dataclass
class Section:
    """A part of the report.

    Args:
        title: Its heading.
        text: What it shows, in a paragraph.
        points: Sentences, each for itself.
        tables: By title; the cells are text, and `**0.1**` is bold.
        folded: Tables that a reader unfolds.
        pictures: Those that are read side by side.
        small: Whether the pictures are small ones, many in a row.
        files: Figures that are written as CSV, by the file's name without its ending.
    """

    title: str
    text: str = ""
    points: list[str] = field(default_factory=list)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    folded: dict[str, pd.DataFrame] = field(default_factory=dict)
    pictures: list[Picture] = field(default_factory=list)
    small: bool = False
    files: dict[str, pd.DataFrame] = field(default_factory=dict)


class Compared:
    """What a report is of, each figure read once.

    Args:
        settings: Of the comparison.
        plan: What was trained.
    """

    def __init__(self, settings: ComparisonSettings, plan: Plan):
        self.settings, self.plan = settings, plan
        evaluation = settings.base.evaluation
        self.among = {
            "sampled": f"among {evaluation.negatives:,} negatives",
            "full": "in the whole catalogue",
        }
        self.cutoff = shown_cutoff(evaluation.cutoffs)
        self.headline = headline(evaluation.cutoffs)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """Those of the systems, of each seed."""
        return read_metrics(self.plan.systems)

    @cached_property
    def differences(self) -> pd.DataFrame:
        """Those of the references from the other systems."""
        return differences(self.plan.systems, self.settings.references, self.headline)

    @cached_property
    def sensitivity(self) -> dict[tuple[str, str], pd.DataFrame]:
        """System and setting → the first metric among negatives, `mean` and `std`, by value."""
        tables = {}
        varied = {key: name for name, of in self.settings.sensitivity.items() for key in of}
        for setting, entries in self.plan.sensitivity.items():
            section, key = setting.split(".")
            values = {e.name: getattr(getattr(e.settings, section), key) for e in entries}
            metrics = read_metrics(entries)
            sampled = metrics[metrics["protocol"] == "sampled"]
            by_value = sampled.groupby(sampled["name"].map(values))[self.headline[0]]
            tables[varied[setting], setting] = by_value.agg(["mean", "std"]).rename_axis(setting)
        return tables

    @cached_property
    def reference(self) -> Trained:
        """The first reference, of the first seed."""
        return Trained(self.first[self.settings.references[0]])

    @property
    def first(self) -> dict[str, Entry]:
        """Of each system, the training with the first seed."""
        return {entry.name: entry for entry in self.plan.systems if entry.seed == 0}

    @cached_property
    def titles(self) -> list[str] | None:
        """The items' titles, "" where there is none; None without a file of them."""
        return read_titles(self.settings, self.reference.store.item_ids)

    def title(self, item: int) -> str:
        """What an item, numbered from 1, is called; its id if nothing is known."""
        known = self.titles[item - 1] if self.titles else ""
        return known or str(self.reference.store.item_ids[int(item) - 1].as_py())
