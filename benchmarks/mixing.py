"""How the K interests and their predicted weights are best made into a score, by validation.

python -m benchmarks.mixing RUN

RUN is the run folder of a system that predicts the weights of its interests. Its own way is to add
the weighted interests up to one query vector; the others need no other training.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jsonargparse import auto_cli
from scipy.special import logsumexp

from tfrs_timirec.errors import run_command

# Who is scored at a time.
USERS_A_BLOCK = 256

# Of scores, [users, K, items], and the weights of the interests, [users, K, 1]: [users, items].
WAYS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "the sum of the weighted interests": lambda scores, weights: (weights * scores).sum(axis=1),
    "the best interest": lambda scores, weights: scores.max(axis=1),
    "the best interest, its weight's logarithm added": lambda scores, weights: (
        scores + np.log(weights)
    ).max(axis=1),
    "the mixture log Σ w exp(score)": lambda scores, weights: logsumexp(
        scores + np.log(weights), axis=1
    ),
    "the mixture of each interest's softmax": lambda scores, weights: logsumexp(
        scores - logsumexp(scores, axis=2, keepdims=True) + np.log(weights), axis=1
    ),
    "the most probable interest": lambda scores, weights: np.take_along_axis(
        scores, weights.argmax(axis=1, keepdims=True), axis=1
    )[:, 0],
}


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
    from tfrs_timirec.recommender import Recommender

    model = Recommender.load(run)
    task = Task.of(model.sequences, model.settings, "times" in model.system.tower_inputs)
    targets, items = task.validation, model.item_vectors().T
    ranks = {way: np.empty(len(targets), int) for way in WAYS}
    for block, width in targets.batches(USERS_A_BLOCK):
        found = model.system.represent(targets.inputs(block, width))
        interests, weights = (np.asarray(found[name]) for name in ("interests", "interest_weights"))
        scores = interests @ items
        rows, touched = targets.no_candidates(block)
        place = targets.positives[block, None] - 1
        for way, score in WAYS.items():
            of_items = score(scores, np.maximum(weights, 1e-9)[:, :, None])
            target = np.take_along_axis(of_items, place, axis=1)
            of_items[rows, touched - 1] = -np.inf
            ranks[way][block] = (of_items >= target).sum(axis=1)
    print(f"| {len(targets):,} targets | HR@{cutoff} | NDCG@{cutoff} |\n|---|---|---|")
    for way, of in ranks.items():
        figures = (metric(f"{name}@{cutoff}", of, targets.users).mean() for name in ("HR", "NDCG"))
        print(f"| {way} | " + " | ".join(f"{figure:.4f}" for figure in figures) + " |")


if __name__ == "__main__":
    auto_cli(main)
