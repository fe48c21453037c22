"""The versions on disk and the ones that serve."""

import asyncio
import importlib.util
import logging
import os
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.get_model_status_pb2 import ModelVersionStatus
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from tfrs_timirec.export.saved import numbered_versions, read_signatures
from tfrs_timirec.export.server.errors import not_found
from tfrs_timirec.export.server.memory import give_memory_back
from tfrs_timirec.export.server.tensors import read_inputs

if importlib.util.find_spec("scann"):
    # Registers the operations of ScaNN's SavedModels.
    import scann  # noqa: F401

log = logging.getLogger(__name__)
# After a version was replaced; requests and their errors hold parts of it for a while.
RELEASE_SECONDS = 10.0
WARMUP = Path("assets.extra", "tf_serving_warmup_requests")


class Version:
    """A loaded SavedModel.

    Args:
        name: The model's name.
        number: The version's.
        folder: Where it is.

    Raises:
        Exception: Whatever TensorFlow makes of a folder that is no SavedModel.
    """

    def __init__(self, name: str, number: int, folder: Path):
        self.name, self.number = name, number
        self.signatures = read_signatures(folder)
        self._loaded = tf.saved_model.load(str(folder))
        if (folder / WARMUP).exists():
            for record in tf.data.TFRecordDataset(str(folder / WARMUP)).as_numpy_iterator():
                request = PredictionLog.FromString(record).predict_log.request
                signature = request.model_spec.signature_name or "serving_default"
                self.run(signature, read_inputs(request.inputs, self.signatures[signature]))

    def run(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Computes the outputs of a signature.

        Args:
            signature: Its name.
            inputs: An array an input.

        Returns:
            An array an output.

        Raises:
            tf.errors.OpError: If the model refuses the inputs.
        """
        outputs = self._loaded.signatures[signature](
            **{name: tf.constant(array) for name, array in inputs.items()}
        )
        return {name: tensor.numpy() for name, tensor in outputs.items()}


class Found(NamedTuple):
    """A version on disk.

    Args:
        number: The version's.
        folder: Where it is.
        contents: Path, size, time of change and inode of each of its files.
    """

    number: int
    folder: Path
    contents: tuple


@dataclass
class Model:
    """A folder of versions.

    Args:
        folder: Where they are.
        serving: The version that answers; none before the first one is loaded.
        states: What became of each version.
        errors: Why versions could not be loaded.
        broken: The contents that these had.
        loaders: Threads that load versions, taking turns: the next one first.
    """

    folder: Path
    serving: Version | None = None
    states: dict[int, "ModelVersionStatus.State"] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)
    broken: dict[int, tuple] = field(default_factory=dict)
    # Each thread has its own part of the heap: that of a version which was replaced is freed as a
    # whole, where scraps of the next one would keep most of its pages in memory.
    loaders: deque[ThreadPoolExecutor] = field(
        default_factory=lambda: deque(ThreadPoolExecutor(1, "loader") for _ in range(2))
    )

    def candidates(self) -> list[Found]:
        """The versions on disk, newest first, down to the one that serves, without what is broken.

        Raises:
            OSError: If the folder cannot be read.
        """
        versions, found = numbered_versions(self.folder), []
        for number in sorted(versions, reverse=True):
            if self.serving and self.serving.number == number:
                break
            contents = _contents(versions[number])
            if self.broken.get(number) != contents:
                found.append(Found(number, versions[number], contents))
        return found


class Models:
    """The models of a folder, each in its newest version that can be loaded.

    A version takes over once it is loaded and warm; requests that the one before is computing
    are finished by it. A version that cannot be loaded is reported, and the one before stays.

    Args:
        folder: Of the models; each subfolder with numbered versions is one.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._models: dict[str, Model] = {}
        self._looker = ThreadPoolExecutor(1, "looker")
        self._seen: dict[Path, tuple] | None = None
        self._unreadable: set[Path] = set()
        self._release_until = 0.0

    @property
    def names(self) -> list[str]:
        """Of the models that have been found, loaded or not."""
        return list(self._models)

    @property
    def loaded(self) -> dict[str, Version]:
        """The serving version of each model that has one."""
        return {name: model.serving for name, model in self._models.items() if model.serving}

    def version(self, name: str, number: int | None) -> Version:
        """The version that answers.

        Args:
            name: The model's.
            number: The version asked for; None for whichever serves.

        Raises:
            RequestError: If it does not serve.
        """
        serving = self._model(name).serving
        if serving is None or number not in (None, serving.number):
            wanted = "version" if number is None else f"version {number}"
            has = f": version {serving.number} serves" if serving else ""
            raise not_found(f"The model {name} has no {wanted} loaded{has}.")
        return serving

    def statuses(self, name: str, number: int | None) -> list[ModelVersionStatus]:
        """The states of a model's versions, or of one of them.

        Raises:
            RequestError: If the model or the version is unknown.
        """
        model = self._model(name)
        numbers = sorted(model.states, reverse=True) if number is None else [number]
        statuses = []
        for version in numbers:
            if version not in model.states:
                raise not_found(f"The model {name} has no version {version}.")
            status = ModelVersionStatus(version=version, state=model.states[version])
            if version in model.errors:
                status.status.error_code = tf.errors.UNKNOWN
                status.status.error_message = model.errors[version]
            statuses.append(status)
        return statuses

    def _model(self, name: str) -> Model:
        if name not in self._models:
            raise not_found(f"There is no model {name!r}; there are {', '.join(self._models)}.")
        return self._models[name]

    async def look(self) -> list[tuple[str, Found]]:
        """Looks at the folder once.

        Returns:
            The versions to load, each with its model's name.

        Raises:
            OSError: If the folder cannot be read.
        """
        return await asyncio.get_running_loop().run_in_executor(self._looker, self._look)

    def _look(self) -> list[tuple[str, Found]]:
        if time.monotonic() < self._release_until:
            give_memory_back()
        candidates = {}
        for folder in sorted(path for path in self._folder.iterdir() if path.is_dir()):
            try:
                if folder.name not in self._models and numbered_versions(folder):
                    # A new dictionary: the event loop may be reading the old one.
                    self._models = {**self._models, folder.name: Model(folder)}
                # A model whose last version was removed goes on serving it, as in TF-Serving.
                if folder.name in self._models:
                    candidates[folder.name] = self._models[folder.name].candidates()
                self._unreadable.discard(folder)
            except OSError as error:
                # Of the others there are models to serve.
                if folder not in self._unreadable:
                    log.error("%s is passed over until it can be read: %s", folder, error)
                self._unreadable.add(folder)
        before, self._seen = self._seen, {f.folder: f.contents for f in chain(*candidates.values())}
        to_load = []
        for name, found in candidates.items():
            # One that has changed since the last look may still be being copied.
            settled = (f for f in found if before is None or before.get(f.folder) == f.contents)
            to_load += [(name, f) for f in islice(settled, 1)]
        return to_load

    async def load(self, name: str, found: Found) -> None:
        """Loads a version, and lets it take over.

        Args:
            name: The model's.
            found: The version.
        """
        model, number = self._models[name], found.number
        model.states[number] = ModelVersionStatus.LOADING
        try:
            loop = asyncio.get_running_loop()
            version = await loop.run_in_executor(
                model.loaders[0], Version, name, number, found.folder
            )
        except Exception as error:  # A SavedModel can be broken in any way.
            model.states[number] = ModelVersionStatus.END
            model.errors[number] = f"{type(error).__name__}: {error}"
            model.broken[number] = found.contents
            log.error(
                "%s cannot be loaded, and is passed over until it changes: %s", found.folder, error
            )
            return
        model.loaders.rotate()
        before = model.serving
        model.serving, model.states[number] = version, ModelVersionStatus.AVAILABLE
        model.errors.pop(number, None)
        if before:
            self._release_until = time.monotonic() + RELEASE_SECONDS
            model.states[before.number] = ModelVersionStatus.END
        log.info("%s serves version %d", name, number)


def _contents(version: Path) -> tuple:
    files = ((path, _status(path)) for path in sorted(version.rglob("*")))
    return tuple((str(path), s.st_size, s.st_mtime_ns, s.st_ino) for path, s in files)


def _status(path: Path) -> os.stat_result:
    """That of the file; of a link that leads nowhere, its own."""
    try:
        return path.stat()
    except FileNotFoundError:
        return path.lstat()
