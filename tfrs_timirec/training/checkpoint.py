"""Checkpoints: named arrays and the progress of the training, in one file."""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import keras
import numpy as np

from tfrs_timirec.errors import UserError
from tfrs_timirec.files import write_whole
from tfrs_timirec.training.progress import Progress

_PROGRESS = "progress.json"


def save(path: Path, variables: Mapping[str, keras.Variable], progress: dict) -> None:
    """Writes a checkpoint; a killed write or a full disk leaves the one that was there.

    Args:
        path: An `.npz` file.
        variables: By name.
        progress: Anything that JSON can hold.
    """
    arrays = {name: np.asarray(variable.value) for name, variable in variables.items()}
    text = np.frombuffer(json.dumps(progress).encode(), np.uint8)
    write_whole(path, lambda file: np.savez(file, **arrays, **{_PROGRESS: text}))


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    """The arrays and the progress in a checkpoint; raises what `load` raises."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return arrays, json.loads(arrays.pop(_PROGRESS).tobytes())
    except FileNotFoundError:
        raise UserError(f"The checkpoint {path} does not exist: train the run first.") from None
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        RuntimeError,
        BadZipFile,
        zlib.error,
    ) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(
        f"The checkpoint {path} is damaged ({' '.join(str(error).split())}): restore the file from "
        f"a copy, or train in a new run folder."
    )


def load_progress(path: Path) -> Progress:
    """The progress that a checkpoint holds; raises what `load` raises."""
    try:
        return Progress.read(_read(path)[1])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(path, error) from None


def load(path: Path, variables: Mapping[str, keras.Variable]) -> None:
    """Reads a checkpoint into variables, all of them or none.

    Args:
        path: An `.npz` file that `save` wrote.
        variables: The same names and shapes as were saved.

    Raises:
        UserError: If the file is absent, damaged, or of another model.
    """
    arrays, _ = _read(path)
    shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
    if shapes != {name: array.shape for name, array in arrays.items()}:
        raise UserError(
            f"The checkpoint {path} is of another model or another catalogue: train in "
            "a new run folder."
        )
    for name, variable in variables.items():
        variable.assign(arrays[name])
