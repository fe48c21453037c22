"""Measures training and validation of a configuration, each against plainer ways to do it.

python -m benchmarks.training --config configs/beauty_plus.yaml [any flag of the training]
"""

import itertools
import sys
import time
from dataclasses import fields, replace

import numpy as np
from rich.console import Console
from rich.table import Table

from tfrs_timirec.config import Settings, settings_of, settings_parser
from tfrs_timirec.errors import run_command

STEPS_MEASURED = 500


def main() -> None:
    run_command(_main)


def _main() -> None:
    parser = settings_parser(
        sys.argv[1:], prog="python -m benchmarks.training", description=__doc__
    )
    measure(settings_of(parser.parse_args()))


def measure(settings: Settings) -> None:
    """Prints targets a second and seconds a validation, phase by phase."""
    import tensorflow as tf

    from tfrs_timirec import data
    from tfrs_timirec.data.instances import Instances
    from tfrs_timirec.data.task import Task
    from tfrs_timirec.evaluation import ranking
    from tfrs_timirec.models.systems import SYSTEMS
    from tfrs_timirec.training.step import STEPS
    from tfrs_timirec.training.workers import ALONE

    class Padded(Instances):
        """Every history padded to L."""

        def widths(self) -> np.ndarray:
            return np.full(len(self), self.max_length)

    tf.get_logger().setLevel("ERROR")
    store = data.load(settings.data, settings.seed)
    system = SYSTEMS[settings.model.system].create(
        store.num_items,
        settings.model,
        settings.training.initial_stddev,
        settings.seed,
    )
    task = Task.of(store, settings, "times" in system.tower_inputs)

    def training_speed(model, task: Task, optimizer: str = "adam", compiled: bool = True) -> float:
        """Targets a second, with the drawing of negatives and the making of batches."""
        training = replace(settings.training, optimizer=optimizer)
        step = STEPS[optimizer](model, training, STEPS_MEASURED, ALONE)
        if not compiled:
            step._means_of = tf.function(step._means_of.python_function)

        def train(batches: int) -> float:
            began = time.perf_counter()
            epoch = task.batches(training.batch_size, np.random.default_rng(0))
            targets = sum(step(inputs)[1] for inputs in itertools.islice(epoch, batches))
            return targets / (time.perf_counter() - began)

        train(50)  # Compiles a step for each width.
        return train(STEPS_MEASURED)

    def candidates_gathered(queries, items, index):
        return tf.reduce_max(tf.matmul(queries, tf.gather(items, index), transpose_b=True), axis=1)

    def catalogue_scored(queries, items, index):
        scores = tf.reduce_max(tf.einsum("umd,id->umi", queries, items), axis=1)
        return tf.gather(scores, index, axis=1, batch_dims=1)

    def validation_seconds(model, scores_of_candidates) -> float:
        ours = ranking.scores_of_candidates
        ranking.scores_of_candidates = scores_of_candidates
        ranker = ranking.Ranker(model)
        ranker.ranks(task.validation, task.negatives)
        began = time.perf_counter()
        ranker.ranks(task.validation, task.negatives)
        ranking.scores_of_candidates = ours
        return time.perf_counter() - began

    phases = system.phases()
    padded = Task.of(store, settings, "times" in system.tower_inputs)
    # Over what the property would make.
    padded.__dict__["training"] = Padded(
        **{field.name: getattr(task.training, field.name) for field in fields(Instances)}
    )
    by_user = replace(task, by_user=True)
    columns = {
        "padded to L, no XLA": [training_speed(model, padded, compiled=False) for model in phases],
        "padded to L": [training_speed(model, padded) for model in phases],
    }
    tf.config.experimental.enable_op_determinism()
    for optimizer in STEPS:
        columns[f"by instance, {optimizer}"] = [
            training_speed(model, task, optimizer) for model in phases
        ]
        columns[f"by user, {optimizer}"] = [
            training_speed(model, by_user, optimizer) for model in phases
        ]
    _print_table("Training, targets a second", columns, "{:,.0f}")
    _print_table(
        f"Validation, {len(task.validation):,} users, seconds",
        {
            name: [validation_seconds(model, scores) for model in phases]
            for name, scores in (
                ("scoring the catalogue", catalogue_scored),
                ("gathering the candidates", candidates_gathered),
                ("user by user (default)", ranking.scores_of_candidates),
            )
        },
        "{:.2f}",
    )


def _print_table(title: str, columns: dict[str, list[float]], form: str) -> None:
    table = Table("", *(f"phase {i}" for i, _ in enumerate(next(iter(columns.values())), 1)))
    table.title = title
    for name, values in columns.items():
        table.add_row(name, *map(form.format, values))
    Console().print(table)


if __name__ == "__main__":
    main()
