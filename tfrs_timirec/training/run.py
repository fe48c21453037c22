"""A run folder: settings, checkpoints, logs, metrics and pictures of one training."""

import csv
import io
import json
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from tfrs_timirec import __version__
from tfrs_timirec.config import Settings, settings_from
from tfrs_timirec.errors import UserError
from tfrs_timirec.files import write_whole


class Run:
    """The folder of one training.

    Args:
        folder: Its path.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.latest = folder / "checkpoints" / "latest.npz"

    def best(self, phase: int) -> Path:
        """The best weights of a phase, counted from 1."""
        return self.folder / "checkpoints" / f"phase{phase}.npz"

    @property
    def _settings_file(self) -> Path:
        return self.folder / "settings.yaml"

    def check(self, settings: Settings, resume: bool) -> None:
        """Checks that a training with these settings may use the folder; writes nothing.

        Args:
            settings: Of the training that is about to start or to go on.
            resume: Whether the run may be there already.

        Raises:
            UserError: If it is there without `resume`, or belongs to other settings.
        """
        if not self._settings_file.exists():
            if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
                raise UserError(
                    f"{self.folder} is there and is no run folder: name another one with --run."
                )
            return
        ours, theirs = _flat(asdict(settings)), _flat(asdict(self.settings()))
        for name, value in ours.items():
            if value != theirs[name]:
                raise UserError(
                    f"The run folder {self.folder} is of another configuration: {name} is "
                    f"{theirs[name]!r} there and {value!r} here; name another folder with --run."
                )
        if not resume:
            raise UserError(
                f"The run folder {self.folder} exists: add --resume to go on with it, or name "
                f"another one with --run."
            )

    def check_data(self, digest: str) -> None:
        """Checks that the run was trained on the sequences with this digest.

        Raises:
            UserError: If it was trained on others.
        """
        path = self.folder / "environment.json"
        try:
            trained_on = json.loads(path.read_text())["data"]
        except (OSError, ValueError, KeyError):
            raise UserError(f"{path} is missing or damaged: train in a new run folder.") from None
        if trained_on != digest:
            raise UserError(
                f"The log has changed since the run {self.folder} was trained on it: bring the old "
                f"log back, or train in a new run folder."
            )

    def start(self, settings: Settings, digest: str) -> None:
        """Makes the folder with its settings, versions, seed and data, or checks that it fits.

        Args:
            settings: Everything that decides what the run computes.
            digest: Of the sequences.

        Raises:
            UserError: If the run is there already and was trained on other sequences.
        """
        if self._settings_file.exists():
            self.check_data(digest)
            return
        self.latest.parent.mkdir(parents=True, exist_ok=True)
        packages = ("tensorflow", "keras", "tensorflow-recommenders", "numpy")
        self._write_json(
            "environment.json",
            {
                "seed": settings.seed,
                "data": digest,
                "tfrs_timirec": __version__,
                "python": platform.python_version(),
                "machine": platform.machine(),
                **{name: version(name) for name in packages},
            },
        )
        text = yaml.safe_dump(asdict(settings), sort_keys=False)
        write_whole(self._settings_file, lambda file: file.write(text.encode()))

    def _read_settings(self) -> dict:
        try:
            settings = yaml.safe_load(self._settings_file.read_text())
        except FileNotFoundError:
            raise UserError(
                f"{self.folder} is not a run folder: it has no settings.yaml."
            ) from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"{self._settings_file} is damaged: {error}.") from None
        if not isinstance(settings, dict):
            raise UserError(f"{self._settings_file} is damaged: it holds no settings.")
        return settings

    def settings(self) -> Settings:
        """The settings that the run was started with.

        Raises:
            UserError: If the folder is not a run, or its settings are damaged.
        """
        return settings_from(self._read_settings(), self._settings_file)

    def log(self, rows: list[dict[str, Any]]) -> None:
        """Writes the rows, one an epoch, to `log.csv` and the newest one for TensorBoard."""
        import tensorflow as tf

        text = io.StringIO()
        writer = csv.DictWriter(text, rows[0])
        writer.writeheader()
        writer.writerows(rows)
        write_whole(self.folder / "log.csv", lambda file: file.write(text.getvalue().encode()))
        row = rows[-1]
        folder = self.folder / "tensorboard" / f"phase{row['phase']}"
        writer = tf.summary.create_file_writer(str(folder))
        with writer.as_default(step=row["epoch"]):
            for name, value in row.items():
                if name not in ("phase", "epoch"):
                    tf.summary.scalar(name, value)
        writer.close()

    def write_metrics(self, metrics: dict) -> None:
        """Writes `metrics.json`."""
        self._write_json("metrics.json", metrics)

    def _write_json(self, name: str, content: dict) -> None:
        text = json.dumps(content, indent=2) + "\n"
        write_whole(self.folder / name, lambda file: file.write(text.encode()))


def _flat(settings: dict, prefix: str = "") -> dict[str, Any]:
    """Nested settings as `section.field` and value."""
    flat = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
