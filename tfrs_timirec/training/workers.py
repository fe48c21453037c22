"""The processes that train one model together, each on its share of every batch."""

import json
import math
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfrs_timirec.data.task import ALL, Share
from tfrs_timirec.errors import LostWorker, UserError
from tfrs_timirec.quiet import quiet

# Longer than the chief takes for a checkpoint, or a worker for compiling a step.
TIMEOUT = 300


class Workers:
    """All workers of a training, of which this process is one; without a strategy it is alone.

    What they tell each other goes through the strategy's collectives: all workers have to call the
    same methods in the same order.

    Args:
        share: Which of how many it is; the first one is the chief.
        strategy: Its collectives.
        timeout: Seconds to wait for the others in each of them.
    """

    def __init__(
        self,
        share: Share = ALL,
        strategy: tf.distribute.Strategy | None = None,
        timeout: int = TIMEOUT,
    ):
        self.share = share
        if strategy:
            self._waiting = _Waiting(timeout)
            self._summed = _collective(strategy, _sum)
            self._joined = _collective(strategy, _join)

    @property
    def alone(self) -> bool:
        """Whether there is no other."""
        return self.share.count == 1

    @property
    def is_chief(self) -> bool:
        """Whether this one writes what is kept."""
        return self.share.rank == 0

    def summed(self, values: Sequence[Any]) -> list[tf.Tensor]:
        """The sums over all workers.

        Args:
            values: Tensors or arrays, of the same shapes and dtypes in each worker.

        Raises:
            LostWorker: If another one is gone or does not answer.
        """
        values = [tf.convert_to_tensor(value) for value in values]
        if self.alone:
            return values
        with self._waiting:
            return self._summed(values)

    def joined(self, values: np.ndarray) -> tf.Tensor:
        """The rows of all workers, one worker after the other.

        Args:
            values: [rows, …], of the same shape in each worker.

        Raises:
            LostWorker: If another one is gone or does not answer.
        """
        with self._waiting:
            joined = self._joined(tf.convert_to_tensor(values))
        return tf.ensure_shape(joined, [len(values) * self.share.count, *values.shape[1:]])

    def any(self, value: bool) -> bool:
        """Whether it is so for any worker."""
        return value if self.alone else bool(self.summed([np.float32(value)])[0])

    def told_by_chief(self, values: Any) -> Any:
        """What the chief has, for all: numbers, strings, lists and mappings of them.

        Args:
            values: What counts if this is the chief.
        """
        if self.alone:
            return values
        text = np.frombuffer(json.dumps(values).encode(), np.uint8).astype(np.int32)
        length = int(self._of_chief(np.array(len(text), np.int32)))
        text = self._of_chief(np.resize(text, length))
        return json.loads(bytes(text.numpy().astype(np.uint8)))

    def share_state(self, variables: Mapping[str, keras.Variable]) -> None:
        """Gives all workers the chief's values, and each a chance of its own.

        Args:
            variables: As `SequentialRecommender.state` names them; each worker moves the seeds,
                such as those of dropout, by its number.
        """
        if self.alone:
            return
        for name in sorted(variables):
            value = self._of_chief(np.asarray(variables[name].value)).numpy()
            if name.startswith("seed_"):
                value += [self.share.rank, 0]
            variables[name].assign(value)

    def check_same(self, values: Mapping[str, Any]) -> None:
        """Checks that all have what the chief has.

        Args:
            values: By name, for the error.

        Raises:
            UserError: If this one has something else.
        """
        theirs = self.told_by_chief(values)
        for name, value in values.items():
            if value != theirs[name]:
                raise UserError(
                    f"Worker {self.share.rank} has another {name} than the chief: {value!r} in "
                    f"place of {theirs[name]!r}; start all workers with the same command."
                )

    def _of_chief(self, value: np.ndarray) -> tf.Tensor:
        return self.summed([value if self.is_chief else np.zeros_like(value)])[0]


ALONE = Workers()


def _collective(strategy: tf.distribute.Strategy, function):
    return tf.function(lambda values: strategy.run(function, args=(values,)), autograph=False)


def _sum(values):
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, [tf.identity(value) for value in values])


def _join(values):
    # The inputs of a function are on no device, which the collectives ask for.
    return tf.distribute.get_replica_context().all_gather(tf.identity(values), axis=0)


def join(timeout: int = TIMEOUT) -> Workers:
    """Meets the workers that the environment variable TF_CONFIG names; alone without it.

    It has to come before anything is computed with TensorFlow.

    Args:
        timeout: Seconds to wait for the others, now and in each step.

    Raises:
        UserError: If TF_CONFIG is damaged, or one of the others does not come.
    """
    config = os.environ.get("TF_CONFIG")
    if not config:
        return ALONE
    addresses, rank = _cluster(config)
    if len(addresses) == 1:
        return ALONE
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        # Each would take the memory of all.
        tf.config.set_visible_devices(gpus[rank % len(gpus)], "GPU")
    _meet(addresses, rank, timeout)
    with quiet():
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    return Workers(Share(rank, len(addresses)), strategy, timeout)


def _cluster(config: str) -> tuple[list[str], int]:
    """The addresses of all workers, the chief's first, and which one this is."""
    try:
        read = json.loads(config)
        jobs, task = read["cluster"], read["task"]
        chiefs, kind, index = jobs.get("chief", []), task["type"], int(task["index"])
        addresses = [*chiefs, *jobs["worker"]]
        rank = index + len(chiefs) * (kind == "worker")
        for address in addresses:
            int(address.rsplit(":", 1)[1])
        if not jobs.keys() <= {"chief", "worker"} or not 0 <= index < len(jobs[kind]):
            raise ValueError("its jobs are not chief and worker, or its task is not one of them")
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise UserError(
            f"TF_CONFIG cannot be used ({' '.join(str(error).split())}): give it as "
            '{"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}}, '
            "or unset it to train in this process alone."
        ) from None
    return addresses, rank


def _meet(addresses: list[str], rank: int, timeout: int) -> None:
    """Waits until all listen: TensorFlow's own waiting can neither be bounded nor interrupted."""
    missing = [address for address in addresses if address != addresses[rank]]
    deadline = time.monotonic() + timeout
    port = int(addresses[rank].rsplit(":", 1)[1])
    try:
        listening = socket.create_server(("", port))
    except OSError as error:
        raise UserError(
            f"Worker {rank} cannot listen on port {port} ({error.strerror}): name a free one in "
            "TF_CONFIG."
        ) from None
    with listening:
        while missing:
            # One that is on has TensorFlow listening there instead.
            missing = [address for address in missing if not _listens(address)]
            if missing and time.monotonic() > deadline:
                raise UserError(
                    f"No worker answers at {', '.join(missing)} within {timeout} s: start it, or "
                    "wait longer with --worker_timeout."
                )
            time.sleep(0.1 * bool(missing))


def _listens(address: str) -> bool:
    host, port = address.rsplit(":", 1)
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=1):
            return True
    except OSError:
        return False


class _Waiting:
    """A block in which the others are waited for, but not for ever.

    TensorFlow's own time-out keeps a thread for each collective until it has passed.

    Args:
        timeout: Seconds after which this process ends.
    """

    def __init__(self, timeout: int):
        self._timeout = timeout
        self._deadline = math.inf
        threading.Thread(target=self._watch, daemon=True).start()

    def __enter__(self) -> None:
        self._deadline = time.monotonic() + self._timeout

    def __exit__(self, kind, error, traceback) -> None:
        self._deadline = math.inf
        if isinstance(error, tf.errors.OpError):
            raise LostWorker(_lost(f"is gone ({kind.__name__})")) from None

    def _watch(self) -> None:
        while time.monotonic() < self._deadline:
            time.sleep(1)
        # Nothing else ends the waiting of the main thread.
        told = _lost(f"has not answered for {self._timeout} s")
        print(f"error: {told}", file=sys.stderr, flush=True)
        os._exit(LostWorker.code)


def _lost(how: str) -> str:
    return (
        f"Another worker {how}: start all again with --resume; they go on from the last checkpoint."
    )
