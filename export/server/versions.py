"""The versions on disk and the ones that serve."""

import asyncio
import importlib.util
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.get_model_status_pb2 import ModelVersionStatus
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from export.saved import read_signatures
from export.server.errors import not_found
from export.server.tensors import read_inputs

if importlib.util.find_spec("scann"):
    # Registers the operations of ScaNN's SavedModels.
    import scann  # noqa: F401

log = logging.getLogger(__name__)
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
                limit = np.iinfo(np.int64).max
                inputs = read_inputs(dict(request.inputs), self.signatures[signature], limit)
                self.run(signature, inputs)

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


@dataclass
class Model:
    """A folder of versions.

    Args:
        folder: Where they are.
        serving: The version that answers; none before the first one is loaded.
        states: What became of each version.
        errors: Why versions could not be loaded.
    """

    folder: Path
    serving: Version | None = None
    states: dict[int, "ModelVersionStatus.State"] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)

    def newest(self) -> int | None:
        """The newest version on disk that is not known to be broken."""
        numbers = [int(path.name) for path in self.folder.iterdir() if path.name.isdecimal()]
        return max((n for n in numbers if n not in self.errors), default=None)


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
        self._loader = ThreadPoolExecutor(1, "loader")

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

    async def poll(self) -> None:
        """Looks at the folder once, and loads what is new."""
        for folder in sorted(path for path in self._folder.iterdir() if path.is_dir()):
            if folder.name not in self._models and any(
                path.name.isdecimal() for path in folder.iterdir()
            ):
                self._models[folder.name] = Model(folder)
        for name, model in self._models.items():
            if not model.folder.is_dir():
                continue
            number = model.newest()
            # A model whose last version was removed goes on serving it, as in TF-Serving.
            if number is not None and (model.serving is None or number != model.serving.number):
                await self._load(name, model, number)

    async def _load(self, name: str, model: Model, number: int) -> None:
        model.states[number] = ModelVersionStatus.LOADING
        folder = model.folder / str(number)
        try:
            loop = asyncio.get_running_loop()
            version = await loop.run_in_executor(self._loader, Version, name, number, folder)
        except Exception as error:  # A SavedModel can be broken in any way.
            model.states[number] = ModelVersionStatus.END
            model.errors[number] = f"{type(error).__name__}: {error}"
            log.error("%s cannot be loaded, and is passed over: %s", folder, error)
            return
        before = model.serving
        model.serving, model.states[number] = version, ModelVersionStatus.AVAILABLE
        if before:
            model.states[before.number] = ModelVersionStatus.END
        log.info("%s serves version %d", name, number)
