"""Where a training stands, and why a phase stops."""

from dataclasses import dataclass, field
from typing import Any

from tfrs_timirec.config import TrainingSettings

_COLUMNS = {"phase", "epoch", "metric"}


@dataclass
class Progress:
    """All that a training knows beside its weights; with them it continues from a checkpoint.

    Args:
        phase: The phase that is being trained, from 1; one more than there are when all is done.
        epoch: Complete epochs of this phase.
        step: Complete steps of the epoch that has begun.
        loss_sum: Sum of the losses of those steps' targets.
        targets: How many these are.
        seconds: How long they took.
        best: The best validation metric of this phase.
        best_epoch: The epoch that reached it.
        declines: Epochs in a row whose metric was below the one before.
        log: One row an epoch.
    """

    phase: int = 1
    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    targets: int = 0
    seconds: float = 0.0
    best: float = -1.0
    best_epoch: int = 0
    declines: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def read(cls, values: Any) -> "Progress":
        """A progress that was written as JSON.

        Args:
            values: What was read.

        Raises:
            ValueError, TypeError, KeyError, AttributeError: If it is no progress.
        """
        progress = cls(**values)
        counts = [progress.phase, progress.epoch, progress.step, progress.targets]
        counts += [progress.best_epoch, progress.declines]
        if not all(type(count) is int and count >= 0 for count in counts):
            raise ValueError("it does not count from 0")
        numbers = [progress.loss_sum, progress.seconds, progress.best]
        for row in progress.log:
            if row.keys() != progress.log[0].keys() or not row.keys() >= _COLUMNS:
                raise ValueError("its log is none")
            numbers += row.values()
        if not all(type(number) in (int, float) for number in numbers):
            raise ValueError("it holds what is no number")
        if progress.epoch and not progress.log:
            raise ValueError("its log is empty")
        if progress.step and not progress.targets:
            raise ValueError("it counts steps without targets")
        return progress

    def end_epoch(self, metric: float, row: dict[str, Any]) -> bool:
        """Notes an epoch's validation metric; true if it is the phase's best so far."""
        previous = self.log[-1]["metric"] if self.epoch else metric
        self.declines = self.declines + 1 if metric < previous else 0
        self.epoch, self.step = self.epoch + 1, 0
        self.loss_sum, self.targets, self.seconds = 0.0, 0, 0.0
        self.log.append({"phase": self.phase, "epoch": self.epoch, **row, "metric": metric})
        if metric <= self.best:
            return False
        self.best, self.best_epoch = metric, self.epoch
        return True

    def stop_reason(self, settings: TrainingSettings) -> str:
        """Why the phase is over, as the end of a sentence; empty if it goes on."""
        if self.epoch >= settings.max_epochs:
            return f"training.max_epochs ({settings.max_epochs}) reached"
        if self.epoch - self.best_epoch >= settings.patience:
            return f"training.patience ({settings.patience}) epochs without improvement"
        if self.declines >= settings.decline:
            return f"training.decline ({settings.decline}) epochs of decline in a row"
        return ""

    @property
    def epochs(self) -> list[int]:
        """The epoch of each phase that was so far the best."""
        return [epoch for _, epoch in self._best_of_phases]

    @property
    def fell_short(self) -> tuple[float, float] | None:
        """The best metric of the last two phases, if the last has the lower one."""
        values = [metric for metric, _ in self._best_of_phases[-2:]]
        return (values[0], values[1]) if len(values) > 1 and values[1] < values[0] else None

    @property
    def _best_of_phases(self) -> list[tuple[float, int]]:
        best: dict[int, tuple[float, int]] = {}
        for row in self.log:
            if not row["metric"] <= best.get(row["phase"], (-1.0, 0))[0]:
                best[row["phase"]] = row["metric"], row["epoch"]
        return list(best.values())

    @property
    def epochs_run(self) -> list[int]:
        """How many epochs each phase has run."""
        phases = [row["phase"] for row in self.log]
        return [phases.count(phase) for phase in dict.fromkeys(phases)]

    def next_phase(self) -> None:
        """Begins the next phase."""
        fresh = Progress(phase=self.phase + 1, log=self.log)
        self.__dict__.update(fresh.__dict__)
