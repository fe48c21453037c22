"""Algorithm 1: the phases one after the other, each to convergence."""

import math
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict

import numpy as np
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as ProgressBar,
)

from tfrs_timirec.config import Settings
from tfrs_timirec.data.instances import (
    evaluation_instances,
    training_batches,
    training_instances,
    untouched_items,
)
from tfrs_timirec.data.store import SequenceStore
from tfrs_timirec.errors import UserError
from tfrs_timirec.evaluation.metrics import metric
from tfrs_timirec.evaluation.ranking import Ranker
from tfrs_timirec.models.base import SequentialRecommender
from tfrs_timirec.training import checkpoint
from tfrs_timirec.training.progress import Progress
from tfrs_timirec.training.run import Run
from tfrs_timirec.training.step import TrainingStep

CHECKPOINT_SECONDS = 300


class Interrupted(Exception):
    """The training was asked to stop, and has saved where it stands."""


class Training:
    """Trains a model in its phases; each starts from the best weights of the one before.

    Args:
        model: The recommender.
        store: The users' sequences.
        settings: Everything that decides what the training computes.
        negatives: int32 [users, n], the fixed negatives of the validation.
        run: Where checkpoints and logs go.
    """

    def __init__(
        self,
        model: SequentialRecommender,
        store: SequenceStore,
        settings: Settings,
        negatives: np.ndarray,
        run: Run,
    ):
        length = settings.model.history_length
        self._phases = model.phases()
        self._settings = settings
        self._instances = training_instances(store, length)
        if not len(self._instances):
            raise UserError(
                "There is nothing to train on: no user has 4 interactions; lower data.core or "
                "bring a longer log."
            )
        self._validation = evaluation_instances(store, "validation", length)
        self._negatives = negatives
        self._untouched = untouched_items(store, "training")
        self._run = run

    def train(self, resume: bool) -> Progress:
        """Trains until all phases have converged, and leaves the model with the best weights.

        Args:
            resume: Continues from the run's checkpoint, if it has one.

        Returns:
            The final progress, with a row of the log for each epoch.

        Raises:
            Interrupted: After Ctrl-C or SIGTERM, with a checkpoint saved.
            UserError: If the loss is not a number any more, or a checkpoint is unusable.
        """
        progress = Progress()
        resumed = resume and self._run.latest.exists()
        if resumed:
            progress = Progress(**checkpoint.load_progress(self._run.latest))
        with _stop_signals() as stop:
            while progress.phase <= len(self._phases):
                if progress.phase > 1:
                    self._load_best(progress.phase - 1)
                model = self._phases[progress.phase - 1]
                step = TrainingStep(model, self._settings.training, self._steps)
                if resumed:
                    checkpoint.load(self._run.latest, step.state)
                    resumed = False
                self._train_phase(model, step, progress, stop)
                progress.next_phase()
            checkpoint.save(self._run.latest, {}, asdict(progress))
        if self._phases:
            self._load_best(len(self._phases))
        return progress

    def _load_best(self, phase: int) -> None:
        checkpoint.load(self._run.best(phase), self._phases[phase - 1].state)

    def _train_phase(self, model, step, progress, stop):
        ranker = Ranker(model)
        with ProgressBar(
            TextColumn("phase {task.fields[phase]} epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]} instances/s"),
            TextColumn("loss {task.fields[loss]}"),
            TextColumn("{task.fields[metric]}"),
            TimeRemainingColumn(),
            # Drawing it takes time from the training.
            refresh_per_second=2,
        ) as bar:
            task = bar.add_task(
                "",
                total=len(self._instances),
                phase=progress.phase,
                epoch=progress.epoch + 1,
                speed="",
                loss="",
                metric="",
            )
            while not progress.converged(self._settings.training):
                bar.reset(task)
                bar.update(task, epoch=progress.epoch + 1)
                began = time.monotonic()
                first = progress.step
                loss = self._train_epoch(step, progress, stop, bar, task)
                share = 1 - first / self._steps
                training_seconds = time.monotonic() - began
                speed = share * len(self._instances) / training_seconds
                began = time.monotonic()
                name = self._settings.evaluation.metric
                value = metric(name, ranker.ranks(self._validation, self._negatives)).mean()
                row = {
                    "loss": loss,
                    "instances_per_second": round(speed),
                    "training_seconds": round(training_seconds, 2),
                    "validation_seconds": round(time.monotonic() - began, 2),
                }
                if progress.end_epoch(float(value), row):
                    checkpoint.save(self._run.best(progress.phase), model.state, {})
                shown = f"{name} {value:.4f}, best {progress.best:.4f} ({progress.best_epoch})"
                bar.update(task, metric=shown)
                bar.console.print(
                    f"phase {progress.phase} epoch {progress.epoch}: loss {loss:.4f}, "
                    f"{speed:,.0f} instances/s, {shown}",
                    highlight=False,
                )
                checkpoint.save(self._run.latest, step.state, asdict(progress))
                self._run.log(progress.log)

    @property
    def _steps(self) -> int:
        return math.ceil(len(self._instances) / self._settings.training.batch_size)

    def _train_epoch(self, step, progress, stop, bar, task) -> float:
        """Trains the rest of an epoch and returns its mean loss."""
        rng = np.random.default_rng([self._settings.seed, progress.phase, progress.epoch])
        instances = self._instances
        negatives = self._untouched.draw(instances.users, rng)
        saved = began = time.monotonic()
        seen = 0
        size = self._settings.training.batch_size
        batches = training_batches(instances, negatives, size, rng)
        for number, (inputs, count) in enumerate(batches):
            if number < progress.step:
                bar.advance(task, count)
                continue
            loss = step(inputs)
            if not math.isfinite(loss):
                raise UserError(
                    f"The loss is {loss} in phase {progress.phase}, epoch {progress.epoch + 1}, "
                    f"step {number + 1}: lower training.learning_rate; the last good checkpoint "
                    f"is {self._run.latest}."
                )
            progress.step += 1
            progress.loss_sum += loss * count
            seen += count
            now = time.monotonic()
            bar.update(
                task,
                advance=count,
                loss=f"{loss:.4f}",
                speed=f"{seen / (now - began):,.0f}",
            )
            if stop.is_set() or now - saved > CHECKPOINT_SECONDS:
                checkpoint.save(self._run.latest, step.state, asdict(progress))
                saved = now
                if stop.is_set():
                    raise Interrupted
        return progress.loss_sum / len(instances)


@contextmanager
def _stop_signals():
    """Turns the first Ctrl-C or SIGTERM into an event; a second one acts as usual."""
    stop = threading.Event()
    before = {}

    def handle(number, frame):
        stop.set()
        signal.signal(number, before[number])

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
