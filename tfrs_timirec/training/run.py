"""A run folder: settings, checkpoints, logs, metrics and pictures of one training."""

import csv
import io
import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.scalar.summary import scalar_pb
from tensorboard.summary.writer.record_writer import RecordWriter

from tfrs_timirec import __version__
from tfrs_timirec.config import Settings, read_settings
from tfrs_timirec.errors import UserError
from tfrs_timirec.files import told, write_whole
from tfrs_timirec.models.settings import ModelSettings

_METRICS = "metrics.json"
_EPOCHS = "training.max_epochs"
# Where the data lies may differ, not how it is split.
ELSEWHERE = {f"data.{name}" for name in ("source", "folder", "engine", "master")}
# The weights of a first phase fit the second whatever they were trained for.
_OBJECTIVE = {
    f"model.{name}"
    for name in (
        *("objective", "label_smoothing", "calibration", "hardness", "routing_penalty"),
        "dropout",
    )
}


class Run:
    """The folder of one training.

    Args:
        folder: Its path.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.latest = folder / "checkpoints" / "latest.npz"
        self.model = folder / "model"

    @property
    def is_there(self) -> bool:
        """Whether the folder is that of a run."""
        return self._settings_file.exists()

    def best(self, phase: int) -> Path:
        """The best weights of a phase, counted from 1."""
        return self.folder / "checkpoints" / f"phase{phase}.npz"

    @property
    def _settings_file(self) -> Path:
        return self.folder / "settings.yaml"

    def check(self, settings: Settings, resume: bool) -> None:
        """Checks that a training with these settings may use the folder; writes nothing.

        Args:
            settings: Of the training that is about to start or to go on; it may have more epochs
                than the one that is there, unless the learning rate depends on their number.
            resume: Whether the run may be there already.

        Raises:
            UserError: If it is there without `resume`, or belongs to other settings.
        """
        if not self._settings_file.exists():
            if self.folder.exists() and not self._is_beginning:
                raise UserError(
                    f"{self.folder} is there and is no run folder: name another one with --run."
                )
            return
        ours, theirs = flat(asdict(settings)), flat(asdict(self.settings()))
        for name, value in ours.items():
            longer = name == _EPOCHS and settings.training.schedule == "constant"
            if value != theirs.get(name) and not (longer and value > theirs[name]):
                raise UserError(
                    f"The run folder {self.folder} is of another configuration: {name} is "
                    f"{theirs.get(name)!r} there and {value!r} here; name another folder with "
                    "--run (of a comparison: --runs)."
                )
        if not resume:
            raise UserError(
                f"The run folder {self.folder} exists: add --resume to go on with it, or name "
                f"another one with --run."
            )

    def check_pretrained(self, settings: Settings, model: ModelSettings | None) -> None:
        """Checks that the run is the first phase of a training with these settings.

        How it was trained, with which objective and dropout, may differ; what it learned from, its
        shape and the metric that its epochs were chosen by may not.

        Args:
            settings: Of the training that is to go on from the run.
            model: Those of its first phase's system; None if it has no first phase.

        Raises:
            UserError: If the run has not finished, or is of something else.
        """
        if model is None:
            raise UserError(
                f"The system {settings.model.system} has no first phase that another run could "
                "have trained: leave --pretrained out."
            )
        # Without anything held out there are no metrics.
        without = settings.data.split == "none"
        if not (self.model if without else self.folder / _METRICS).exists():
            raise UserError(f"{self.folder} is not a finished run: train it first.")
        there = self.settings()
        ours = flat({"data": asdict(settings.data), "model": asdict(model)})
        if not without:
            # Metrics of another kind cannot be put beside those of the second phase.
            judged = ["metric", "protocol"]
            judged += ["negatives"] * (settings.evaluation.protocol == "sampled")
            ours |= {f"evaluation.{name}": getattr(settings.evaluation, name) for name in judged}
        theirs = flat(asdict(there))
        for name, value in ours.items():
            if name not in ELSEWHERE | _OBJECTIVE and value != theirs.get(name):
                raise UserError(
                    f"The run {self.folder} is not the first phase of this one: {name} is "
                    f"{theirs.get(name)!r} there and would be {value!r} here; name another run "
                    "with --pretrained."
                )

    @property
    def _is_beginning(self) -> bool:
        """Whether nothing is there but what `start` writes before the settings."""
        return self.folder.is_dir() and all(
            path.name in ("checkpoints", "environment.json") or path.suffix == ".part"
            for path in self.folder.rglob("*")
        )

    def check_data(self, digest: str) -> None:
        """Checks that the run was trained on the sequences with this digest.

        Raises:
            UserError: If it was trained on others.
        """
        if self._learned_from()[0] != digest:
            raise UserError(
                f"The log has changed since the run {self.folder} was trained on it: bring the old "
                f"log back, or train in a new run folder."
            )

    def _learned_from(self) -> list[str]:
        """The digests of the sequences and of the teachers."""
        path = self.folder / "environment.json"
        try:
            environment = json.loads(path.read_text())
            return [environment["data"], *environment.get("teachers", [])]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise UserError(f"{path} is missing or damaged: train in a new run folder.") from None

    def start(self, settings: Settings, digests: Sequence[str]) -> None:
        """Makes the folder with its settings, versions, seed and data, or checks that it fits.

        A run that goes on for more epochs than it had is no longer complete.

        Args:
            settings: Everything that decides what the run computes.
            digests: Of the sequences, then of each teacher.

        Raises:
            UserError: If the run is there already and learned from other sequences or teachers.
        """
        with told(self.folder):
            self.latest.parent.mkdir(parents=True, exist_ok=True)
        if self._settings_file.exists():
            self.check_data(digests[0])
            if self._learned_from() != [*digests]:
                raise UserError(
                    f"A teacher has changed since the run {self.folder} learned from it: bring the "
                    "old one back, or train in a new run folder."
                )
            if settings != self.settings():
                (self.folder / _METRICS).unlink(missing_ok=True)
                self._write_settings(settings)
            return
        packages = ("tensorflow", "keras", "tensorflow-recommenders", "numpy")
        self._write_json(
            "environment.json",
            {
                "seed": settings.seed,
                "data": digests[0],
                "teachers": digests[1:],
                "tfrs_timirec": __version__,
                "python": platform.python_version(),
                "machine": platform.machine(),
                **{name: version(name) for name in packages},
            },
        )
        # Last: without it the folder is but a beginning.
        self._write_settings(settings)

    def settings(self) -> Settings:
        """The settings that the run was started with.

        Raises:
            UserError: If the folder is not a run, or its settings are damaged.
        """
        if not self._settings_file.exists():
            raise UserError(f"{self.folder} is not a run folder: it has no settings.yaml.")
        return read_settings(self._settings_file)

    def log(self, rows: list[dict[str, Any]]) -> None:
        """Writes the rows, one an epoch, to `log.csv` and, those that it lacks, for TensorBoard."""
        if not rows:
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, rows[0])
        writer.writeheader()
        writer.writerows(rows)
        write_whole(self.folder / "log.csv", lambda file: file.write(text.getvalue().encode()))

        for row in rows:
            # A file an epoch, in an order that TensorBoard reads them in; its own writer would
            # leave another file for each time that a run goes on.
            name = f"events.out.tfevents.{row['epoch']:07}"
            path = self.folder / "tensorboard" / f"phase{row['phase']}" / name
            if not path.exists():
                with told(path):
                    path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, lambda file, row=row: _write_events(file, row))

    def write_results(self, metrics: dict, users: pa.Table) -> None:
        """Writes `users.parquet` and, last, `metrics.json`, with which a run is complete."""
        write_whole(self.folder / "users.parquet", lambda file: pq.write_table(users, file))
        self._write_json(_METRICS, metrics)

    def _write_settings(self, settings: Settings) -> None:
        text = yaml.safe_dump(asdict(settings), sort_keys=False)
        write_whole(self._settings_file, lambda file: file.write(text.encode()))

    def _write_json(self, name: str, content: dict) -> None:
        text = json.dumps(content, indent=2) + "\n"
        write_whole(self.folder / name, lambda file: file.write(text.encode()))


def _write_events(file: BinaryIO, row: dict[str, Any]) -> None:
    writer = RecordWriter(file)
    versioned = Event(wall_time=time.time(), file_version="brain.Event:2")
    writer.write(versioned.SerializeToString())
    for name, value in row.items():
        if name not in ("phase", "epoch"):
            summary = scalar_pb(name, value)
            event = Event(wall_time=time.time(), step=row["epoch"], summary=summary)
            writer.write(event.SerializeToString())


def flat(settings: dict, prefix: str = "") -> dict[str, Any]:
    """Nested settings as `section.field` and value."""
    values = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            values |= flat(value, f"{prefix}{name}.")
        else:
            values[prefix + name] = value
    return values


def model_in(folder: Path) -> Path:
    """The folder of a saved recommender: itself, or the one in a finished run.

    A run that goes on for more epochs hands out the one that it had until it has finished again.

    Raises:
        UserError: If the run has never finished.
    """
    run = Run(folder)
    if run.model.is_dir():
        return run.model
    if run.is_there:
        raise UserError(
            f"The run {folder} has not finished training: continue it with "
            "python -m tfrs_timirec.train --resume and its settings."
        )
    return folder
