"""What the second phase makes of what the first one has learned, by validation.

python -m benchmarks.phases RUN

RUN is the run folder of a system of two phases. Each is judged with its own best weights: how it
ranks among the negatives and the whole catalogue; how near its query vectors, K in the first phase
and one in the second, are on average to the item nearest to each; and the largest weight of an
interest, 1/K where nothing is predicted.
"""

from pathlib import Path

import numpy as np
from jsonargparse import auto_cli

from tfrs_timirec.directions import directions
from tfrs_timirec.errors import run_command

# Who is scored at a time.
USERS_A_BLOCK = 256


def main(run: Path, cutoff: int = 10) -> None:
    """Prints a Markdown table.

    Args:
        run: A run folder.
        cutoff: The N of HR@N and NDCG@N.
    """
    run_command(lambda: measure(run, cutoff))


def measure(run: Path, cutoff: int) -> None:
    from tfrs_timirec.data.task import Task
    from tfrs_timirec.evaluation.metrics import metric
    from tfrs_timirec.evaluation.ranking import Ranker
    from tfrs_timirec.recommender import Recommender
    from tfrs_timirec.training import checkpoint
    from tfrs_timirec.training.run import Run

    model = Recommender.load(run)
    task = Task.of(model.sequences, model.settings, "times" in model.system.tower_inputs)
    targets = task.validation
    protocols = {
        f"{model.settings.evaluation.negatives:,} negatives": task.negatives,
        "whole catalogue": None,
    }
    judged = [(f"{name}@{cutoff}", among) for among in protocols for name in ("HR", "NDCG")]
    columns = [f"{name}, {among}" for name, among in judged]
    columns += ["cosine of a query and its nearest item", "largest weight of an interest"]
    print(f"| {len(targets):,} targets | {' | '.join(columns)} |\n|---{'|---' * len(columns)}|")
    for number, phase in enumerate(model.system.phases(), 1):
        checkpoint.load(Run(run).best(number), phase.state)
        ranker = Ranker(phase)
        figures = [
            metric(name, ranker.ranks(targets, protocols[among]), targets.users).mean()
            for name, among in judged
        ]
        items = directions(np.asarray(phase.item_vectors()))
        near, sure = [], []
        for block, width in targets.batches(USERS_A_BLOCK):
            found = phase.represent(targets.inputs(block, width))
            queries = directions(np.asarray(found["query_vectors"]))
            near.append((queries @ items.T).max(axis=-1).mean(axis=-1))
            sure.append(np.asarray(found["interest_weights"]).max(axis=-1))
        figures += [np.concatenate(of).mean() for of in (near, sure)]
        print(f"| {phase.title} | " + " | ".join(f"{figure:.4f}" for figure in figures) + " |")


if __name__ == "__main__":
    auto_cli(main)
