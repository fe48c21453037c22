"""Algorithm 1: the phases one after the other, each to convergence."""

import math
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from itertools import islice
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as ProgressBar,
)

from tfrs_timirec.config import Settings, TrainingSettings
from tfrs_timirec.data.task import Task
from tfrs_timirec.errors import Stopped, UserError
from tfrs_timirec.evaluation.metrics import metric
from tfrs_timirec.evaluation.ranking import Ranker
from tfrs_timirec.models.base import SequentialRecommender
from tfrs_timirec.training import checkpoint
from tfrs_timirec.training.ahead import ahead
from tfrs_timirec.training.progress import Progress
from tfrs_timirec.training.run import Run
from tfrs_timirec.training.step import STEPS
from tfrs_timirec.training.workers import Workers

CHECKPOINT_SECONDS = 300
BATCHES_AHEAD = 8


class Training:
    """Trains models one after the other; each starts from the best weights of the one before.

    Args:
        phases: The models, which share weights.
        task: What they learn from and are validated with.
        settings: Everything that decides what the training computes.
        run: Where checkpoints and logs go.
        console: Where progress is shown.
        callback: Called after each epoch with its row of the log; None calls nothing.
        epochs: How many epochs each phase has: as many without validation, or at most where
            `validated`.
        validated: Whether the best epoch on the validation split counts.
        workers: Who train together; the chief's run, settings and data count.
        pretrained: The run that trained the first phase already; None trains all.
    """

    def __init__(
        self,
        phases: Sequence[SequentialRecommender],
        task: Task,
        settings: Settings,
        run: Run,
        console: Console,
        callback: Callable[[dict[str, Any]], object] | None,
        epochs: Sequence[int],
        validated: bool,
        workers: Workers,
        pretrained: Run | None,
    ):
        self._phases = phases
        self._settings = settings
        self._task = task
        if not task.num_training:
            raise UserError(
                "There is nothing to train on: no user has two interactions in the training part; "
                "lower data.core or bring a longer log."
            )
        if not task.has_negatives:
            raise UserError(
                "There is nothing to tell the items of a user from: each user has had all "
                f"{task.store.num_items} of the catalogue; bring a log of more items."
            )
        if validated and not len(task.validation):
            raise UserError(
                "There is nothing to validate on: no user has interactions in both the training "
                "and the validation part; move data.validation_from."
            )
        batch = settings.training.batch_size
        if batch % workers.share.count:
            raise UserError(
                f"training.batch_size is {batch}, which {workers.share.count} workers cannot share "
                "evenly: give a multiple of their number."
            )
        if not workers.alone and settings.training.optimizer != "adam":
            raise UserError(
                f"training.optimizer is {settings.training.optimizer}, which several workers "
                "cannot use: set it to adam, or train in one process."
            )
        windows = workers.share.count * settings.model.history_length
        if settings.training.unit == "user" and batch < windows:
            raise UserError(
                f"training.batch_size is {batch}, which is less than a window of items for each "
                f"worker: give {windows} or more, or set training.unit to instance."
            )
        self._workers = workers
        self._run = run
        self._console = console
        self._callback = callback
        self._epochs = epochs
        self._validated = validated
        self._pretrained = pretrained

    def train(self, resume: bool) -> Progress:
        """Trains until all phases are over, and leaves the model with the best weights.

        Args:
            resume: Continues from the run's checkpoint, if it has one.

        Returns:
            The final progress, with a row of the log for each epoch.

        Raises:
            Stopped: After Ctrl-C or SIGTERM, with a checkpoint saved.
            UserError: If the loss is not a number any more, or a checkpoint is unusable.
        """
        progress = Progress()
        resumed = self._workers.told_by_chief(resume and self._run.latest.exists())
        if self._workers.is_chief:
            if resumed:
                progress = checkpoint.load_progress(self._run.latest)
            elif self._pretrained:
                progress = self._taken_over()
            self._run.log(progress.log)
        progress = Progress(**self._workers.told_by_chief(asdict(progress)))
        with _stop_signals() as stop:
            while progress.phase <= len(self._phases):
                if progress.phase > 1:
                    self._load_best(progress.phase - 1)
                model = self._phases[progress.phase - 1]
                kind = STEPS[self._settings.training.optimizer]
                step = kind(model, self._training_of(progress.phase), self._steps, self._workers)
                if resumed and self._workers.is_chief:
                    checkpoint.load(self._run.latest, step.state)
                resumed = False
                self._workers.share_state(step.state)
                self._say(
                    f"Phase {progress.phase} of {len(self._phases)}: {model.title} learns "
                    f"{model.learns}."
                )
                self._train_phase(model, step, progress, stop)
                if self._validated:
                    self._say(
                        f"Phase {progress.phase} stopped after {progress.epoch} epochs: "
                        f"{progress.stop_reason(self._settings.training)}. Best: epoch "
                        f"{progress.best_epoch}, validation {self._settings.evaluation.metric} "
                        f"{progress.best:.4f}."
                    )
                    self._warn_of_a_fall(progress)
                progress.next_phase()
            if self._workers.any(bool(stop)):
                # It came after the last step.
                raise Stopped(stop[0] if stop else signal.SIGTERM)
        self._load_best(len(self._phases))
        self._workers.share_state(self._phases[-1].state)
        return progress

    def _rate_of(self, phase: int) -> str:
        """The name of the setting that is the learning rate of a phase."""
        second = self._settings.training.second_learning_rate
        return "second_learning_rate" if second and phase > 1 else "learning_rate"

    def _training_of(self, phase: int) -> TrainingSettings:
        training = self._settings.training
        return replace(training, learning_rate=getattr(training, self._rate_of(phase)))

    def _taken_over(self) -> Progress:
        """The progress of the run that trained the first phase, with its best weights."""
        first = self._phases[0]
        progress = checkpoint.load_progress(self._pretrained.latest)
        checkpoint.load(self._pretrained.best(1), first.state)
        checkpoint.save(self._run.best(1), first.state, {})
        self._say(f"Phase 1 of {len(self._phases)}: as {self._pretrained.folder} has it.")
        progress.next_phase()
        return progress

    def _warn_of_a_fall(self, progress: Progress) -> None:
        if not progress.fell_short:
            return
        before, after = progress.fell_short
        self._say(
            f"Phase {progress.phase} ends below phase {progress.phase - 1}, {after:.4f} against "
            f"{before:.4f}: the predictor costs more than it brings here. The objectives with many "
            f"negatives (model.objective), or the first phase's system alone (model.system "
            f"{self._phases[-2].settings_type.system}), may rank better."
        )

    def _say(self, sentence: str) -> None:
        self._console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def _load_best(self, phase: int) -> None:
        if self._workers.is_chief:
            checkpoint.load(self._run.best(phase), self._phases[phase - 1].state)

    def _train_phase(self, model, step, progress, stop):
        ranker = Ranker(model)
        with ProgressBar(
            TextColumn("phase {task.fields[phase]} epoch {task.fields[epoch]} step"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]} instances/s"),
            TextColumn("loss {task.fields[loss]}"),
            TextColumn("{task.fields[metric]}"),
            TimeRemainingColumn(),
            console=self._console,
            # Drawing it takes time from the training.
            refresh_per_second=2,
        ) as bar:
            task = bar.add_task(
                "",
                total=self._steps,
                phase=progress.phase,
                epoch=progress.epoch + 1,
                speed="",
                loss="",
                metric="",
            )
            while not self._is_over(progress):
                bar.reset(task)
                bar.update(task, epoch=progress.epoch + 1)
                loss = self._train_epoch(step, progress, stop, bar, task)
                speed = progress.targets / progress.seconds
                began = time.monotonic()
                name = self._settings.evaluation.metric
                value = self._validate(name, ranker)
                row = {
                    "loss": loss,
                    "instances_per_second": round(speed),
                    "training_seconds": round(progress.seconds, 2),
                    "validation_seconds": round(time.monotonic() - began, 2),
                }
                is_best = progress.end_epoch(value, row)
                if self._workers.is_chief:
                    if is_best:
                        checkpoint.save(self._run.best(progress.phase), model.state, {})
                    checkpoint.save(self._run.latest, step.state, asdict(progress))
                    self._run.log(progress.log)
                shown = f"{name} {value:.4f}, best {progress.best:.4f} ({progress.best_epoch})"
                if not self._validated:
                    shown = ""
                bar.update(task, metric=shown)
                self._say(
                    f"phase {progress.phase} epoch {progress.epoch}: loss {loss:.4f}, "
                    f"{speed:,.0f} instances/s{', ' * bool(shown)}{shown}"
                )
                if self._callback:
                    self._callback(progress.log[-1])

    def _is_over(self, progress: Progress) -> bool:
        if progress.epoch >= self._epochs[progress.phase - 1]:
            return True
        return self._validated and bool(progress.stop_reason(self._settings.training))

    def _validate(self, name: str, ranker: Ranker) -> float:
        """The validation metric; where nothing is held out, NaN, by which every epoch is best."""
        if not self._validated:
            return math.nan
        sampled = self._settings.evaluation.protocol == "sampled"
        values = np.concatenate(
            [
                # The negatives of several shards are drawn anew each time.
                metric(
                    name, ranker.ranks(targets, part.negatives if sampled else None), targets.users
                )
                for targets, part in self._task.validations(self._workers.share)
            ]
        )
        total, users = self._workers.summed([values.sum(), np.float64(len(values))])
        return float(total / users)

    @property
    def _steps(self) -> int:
        size = self._settings.training.batch_size
        return self._task.num_batches(size, self._workers.share)

    def _train_epoch(self, step, progress, stop, bar, task) -> float:
        """Trains the rest of an epoch and returns its mean loss."""
        rng = np.random.default_rng([self._settings.seed, progress.phase, progress.epoch])
        saved = time.monotonic()
        began = saved - progress.seconds
        size = self._settings.training.batch_size
        batches = self._task.batches(size, rng, self._workers.share)
        left = map(step.prepared, islice(batches, progress.step, None))
        with closing(ahead(left, BATCHES_AHEAD)) as prepared:
            for inputs in prepared:
                loss, count = step.train(inputs)
                if not math.isfinite(loss):
                    raise UserError(
                        f"The loss is {loss} in phase {progress.phase}, epoch "
                        f"{progress.epoch + 1}, step {progress.step + 1}: lower "
                        f"training.{self._rate_of(progress.phase)}; the last good checkpoint is "
                        f"{self._run.latest}."
                    )
                progress.step += 1
                progress.loss_sum += loss * count
                progress.targets += count
                now = time.monotonic()
                progress.seconds = now - began
                bar.update(
                    task,
                    completed=progress.step,
                    loss=f"{loss:.4f}",
                    speed=f"{progress.targets / progress.seconds:,.0f}",
                )
                stopped = self._workers.any(bool(stop))
                if stopped or now - saved > CHECKPOINT_SECONDS:
                    if self._workers.is_chief:
                        checkpoint.save(self._run.latest, step.state, asdict(progress))
                    saved = now
                    if stopped:
                        raise Stopped(stop[0] if stop else signal.SIGTERM)
        return progress.loss_sum / progress.targets


@contextmanager
def _stop_signals():
    """Notes the first Ctrl-C or SIGTERM in a list; a second one acts as usual."""
    stop: list[int] = []
    before = {}
    if threading.current_thread() is not threading.main_thread():
        # Signals are the main thread's alone.
        yield stop
        return

    def handle(number, frame):
        stop.append(number)
        signal.signal(number, before[number])

    for number in (signal.SIGINT, signal.SIGTERM):
        # A shell starts background jobs deaf to Ctrl-C.
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
