"""How several trained recommenders rank together, their scores added.

python -m benchmarks.together '[RUN, OTHER]'

A score is a dot product of a query vector and an item's, so the sum of two models' scores is one of
their vectors, put one behind the other: one model, twice as wide, with one lookup in the index. RUN
and OTHER are run folders of systems with one query vector, trained on the same log with the same
history_length; several seeds of one system will do. Negatives are those of the first run.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tensorflow as tf
from jsonargparse import auto_cli

from tfrs_timirec.errors import UserError, run_command

if TYPE_CHECKING:
    from tfrs_timirec.config import DataSettings
    from tfrs_timirec.recommender import Recommender


class Together:
    """What `Ranker` asks of a model, of several whose vectors stand one behind the other.

    Args:
        models: Trained on the same log.
    """

    def __init__(self, models: "list[Recommender]"):
        self._systems = [model.system for model in models]
        self._items = tf.concat([system.item_vectors() for system in self._systems], axis=1)
        self.num_items = len(self._items)

    def query_vectors(self, inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        return tf.concat([system.query_vectors(inputs) for system in self._systems], axis=2)

    def item_vectors(self) -> tf.Tensor:
        return self._items


def splitting(named: "DataSettings") -> tuple:
    return named.split, named.validation_from, named.test_from


def main(
    runs: list[Path], part: Literal["validation", "test"] = "validation", cutoff: int = 10
) -> None:
    """Prints a Markdown table.

    Args:
        runs: Run folders.
        part: Which targets are ranked; what goes together is chosen by the validation split.
        cutoff: The N of HR@N and NDCG@N.
    """
    run_command(lambda: measure(runs, part, cutoff))


def measure(runs: list[Path], part: str, cutoff: int) -> None:
    from tfrs_timirec.data.task import Task
    from tfrs_timirec.evaluation.metrics import metric
    from tfrs_timirec.evaluation.ranking import Ranker
    from tfrs_timirec.recommender import Recommender

    if not runs:
        raise UserError("No run is named: give a list such as '[runs/a, runs/b]'.")
    models = [Recommender.load(run) for run in runs]
    first = models[0]
    for run, model in zip(runs, models, strict=True):
        if model.system.user_tower.output["query_vectors"].shape[1] > 1:
            raise UserError(f"{run} has several query vectors: name systems that have one.")
        for what, of_first, of_model in (
            ("log", first.sequences.digest, model.sequences.digest),
            ("split", *(splitting(of.trained_with.data) for of in (first, model))),
            (
                "history_length",
                first.settings.model.history_length,
                model.settings.model.history_length,
            ),
        ):
            if of_model != of_first:
                raise UserError(f"{run} has another {what} than {runs[0]}: name runs of the same.")
    reads_times = any("times" in model.system.tower_inputs for model in models)
    task = Task.of(first.sequences, first.settings, reads_times)
    targets = task.validation if part == "validation" else task.test
    if not len(targets):
        raise UserError(f"{runs[0]} held nothing out to rank: name runs with another data.split.")
    protocols = {f"{first.settings.evaluation.negatives:,} negatives": task.negatives}
    protocols["whole catalogue"] = None
    columns = [f"{name}@{cutoff}, {among}" for among in protocols for name in ("HR", "NDCG")]
    print(f"| {len(targets):,} targets | {' | '.join(columns)} |\n|---{'|---' * len(columns)}|")
    rows = {str(run): model.system for run, model in zip(runs, models, strict=True)}
    for row, model in {**rows, "together": Together(models)}.items():
        ranker = Ranker(model)
        figures = [
            metric(f"{name}@{cutoff}", ranks, targets.users).mean()
            for ranks in (ranker.ranks(targets, among) for among in protocols.values())
            for name in ("HR", "NDCG")
        ]
        print(f"| {row} | " + " | ".join(f"{figure:.4f}" for figure in figures) + " |")


if __name__ == "__main__":
    auto_cli(main)
