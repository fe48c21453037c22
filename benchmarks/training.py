"""Measures training and validation of a configuration, each against plainer ways to do it.

The speed of training also stands beside what the machine allows (`benchmarks.floor`).

python -m benchmarks.training --config configs/beauty_plus.yaml [any flag of the training]
"""

import itertools
import sys
import time
from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
from rich.console import Console
from rich.table import Table

from tfrs_timirec.config import Settings, settings_of, settings_parser
from tfrs_timirec.errors import run_command

TARGETS_MEASURED = 128_000


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

    from benchmarks.floor import floor
    from tfrs_timirec import data
    from tfrs_timirec.data.instances import Instances
    from tfrs_timirec.data.task import Task
    from tfrs_timirec.evaluation import ranking
    from tfrs_timirec.models.systems import SYSTEMS
    from tfrs_timirec.training.ahead import ahead
    from tfrs_timirec.training.loop import BATCHES_AHEAD
    from tfrs_timirec.training.step import STEPS
    from tfrs_timirec.training.workers import ALONE

    class Padded(Instances):
        """Every history padded to L."""

        def widths(self) -> np.ndarray:
            return np.full(len(self), self.max_length)

    tf.get_logger().setLevel("ERROR")
    store = data.load(settings.data, settings.seed)
    steps = TARGETS_MEASURED // settings.training.batch_size
    system = SYSTEMS[settings.model.system].create(
        store.num_items,
        settings.model,
        settings.training.initial_stddev,
        settings.seed,
    )
    task = Task.of(store, settings, "times" in system.tower_inputs)

    def training_speed(model, task: Task, optimizer: str, compiled: bool, waiting: int) -> float:
        """Targets a second, with the making of batches, of which as many are made ahead."""
        training = replace(settings.training, optimizer=optimizer)
        step = STEPS[optimizer](model, training, steps, ALONE)
        if not compiled:
            step._means_of = tf.function(step._means_of.python_function)

        def batches():
            epoch = task.batches(training.batch_size, np.random.default_rng(0))
            return itertools.islice(epoch, steps)

        # Compiles a step for each width.
        for inputs in {inputs["history"].shape: inputs for inputs in batches()}.values():
            step.train(step.prepared(inputs))
        began = time.perf_counter()
        inputs = map(step.prepared, batches())
        if waiting:
            inputs = ahead(inputs, waiting)
        targets = sum(step.train(each)[1] for each in inputs)
        return targets / (time.perf_counter() - began)

    def limit(model, task: Task, optimizer: str) -> float:
        """Targets a second of the same batches if only products and Adam's traffic took time."""
        seconds, targets, of_shape = 0.0, 0.0, {}
        epoch = task.batches(settings.training.batch_size, np.random.default_rng(0))
        for inputs in itertools.islice(epoch, steps):
            shape = inputs["history"].shape
            if shape not in of_shape:
                of_shape[shape] = floor(model, inputs, optimizer).seconds
            seconds += of_shape[shape]
            targets += float(inputs["weight"].sum())
        return targets / seconds

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
    ways = {
        "padded to L, no XLA": (padded, "adam", False, 0),
        "padded to L": (padded, "adam", True, 0),
        "by instance, adam, no batch ahead": (task, "adam", True, 0),
        "by user, adam, no batch ahead": (by_user, "adam", True, 0),
    }
    # The others change some rows, of which the softmax of the whole catalogue needs all.
    optimizers = ["adam"] if settings.model.objective == "softmax" else STEPS
    for optimizer in optimizers:
        ways[f"by instance, {optimizer}"] = (task, optimizer, True, BATCHES_AHEAD)
        ways[f"by user, {optimizer}"] = (by_user, optimizer, True, BATCHES_AHEAD)
    rows = {}
    for name, way in ways.items():
        if way[0] is not padded:
            tf.config.experimental.enable_op_determinism()
        speeds = [(training_speed(model, *way), limit(model, *way[:2])) for model in phases]
        rows[name] = [cell for speed, most in speeds for cell in (speed, most, speed / most)]
    names = ("targets/s", "limit", "share")
    _print_table("Training", names, rows, ("{:,.0f}", "{:,.0f}", "{:.0%}"))
    _print_table(
        f"Validation, {len(task.validation):,} users",
        ("seconds",),
        {
            name: [validation_seconds(model, scores) for model in phases]
            for name, scores in (
                ("scoring the catalogue", catalogue_scored),
                ("gathering the candidates", candidates_gathered),
                ("user by user (default)", ranking.scores_of_candidates),
            )
        },
        ("{:.2f}",),
    )


def _print_table(
    title: str, names: Sequence[str], rows: dict[str, list[float]], forms: Sequence[str]
) -> None:
    """A table with a column of each name for each phase."""
    phases = len(next(iter(rows.values()))) // len(names)
    table = Table("", *(f"phase {i + 1}: {name}" for i in range(phases) for name in names))
    table.title = title
    for row, values in rows.items():
        table.add_row(row, *map(str.format, forms * phases, values))
    Console().print(table)


if __name__ == "__main__":
    main()
