"""Requests that wait are computed together."""

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from tfrs_timirec.export.server.errors import RequestError, exhausted
from tfrs_timirec.export.server.metrics import BATCH_ROWS, WAITING
from tfrs_timirec.export.server.settings import ServerSettings
from tfrs_timirec.export.server.versions import Version

Arrays = dict[str, np.ndarray]

# Inputs in which the exported models pass over padding, so that rows of other widths may join.
PADDED = ("history", "times", "exclude", "among")
# A wider row, or one that asks for more, is computed alone: it would widen all others of its batch.
WIDEST = 256


@dataclass
class Batch:
    """Requests that can be computed together, because all else but their rows is equal."""

    version: Version
    signature: str
    waiting: deque[tuple[Arrays, asyncio.Future]] = field(default_factory=deque)


class Batcher:
    """Computes requests in threads; those that arrive meanwhile wait and are joined.

    A request never waits for others to come: it is computed at once when a worker is free, and
    with everything of its kind that waits when one gets free. The wait is thus bounded by
    the computations before it, and these by the length of the queue.

    Args:
        settings: Workers, rows of a batch and length of the queue.
    """

    def __init__(self, settings: ServerSettings):
        self._settings = settings
        self._pool = ThreadPoolExecutor(settings.workers, "worker")
        self._free = settings.workers
        self._batches: dict[tuple, Batch] = {}
        self._waiting = 0
        self._open: set[asyncio.Future] = set()

    async def run(self, version: Version, signature: str, inputs: Arrays) -> Arrays:
        """Computes a request.

        Args:
            version: The model.
            signature: The signature's name.
            inputs: An array an input.

        Returns:
            An array an output.

        Raises:
            RequestError: If too many requests wait already.
            tf.errors.OpError: If the model refuses the inputs.
        """
        if self._waiting >= self._settings.queue_length:
            raise exhausted(f"{self._waiting} requests wait already: try again later.")
        key = _key(version, signature, inputs)
        future = asyncio.get_running_loop().create_future()
        self._open.add(future)
        future.add_done_callback(self._open.discard)
        batch = self._batches.setdefault(key, Batch(version, signature))
        batch.waiting.append((inputs, future))
        self._count(1)
        self._start()
        return await future

    def abandon(self, reason: RequestError) -> None:
        """Gives up all requests, waiting or being computed; none is started any more.

        Args:
            reason: What they are answered with.
        """
        self._batches.clear()
        for future in list(self._open):
            if not future.done():
                future.set_exception(reason)

    def _start(self) -> None:
        """Gives what waits to the free workers, the kind that came first before the others."""
        while self._free and self._batches:
            key = next(iter(self._batches))
            batch = self._batches.pop(key)
            requests = self._take(batch)
            if batch.waiting:
                self._batches[key] = batch
            if requests:
                self._free -= 1
                self._pool.submit(self._compute, batch, requests, asyncio.get_running_loop())

    def _take(self, batch: Batch) -> list[tuple[Arrays, asyncio.Future]]:
        requests, rows = [], 0
        while batch.waiting:
            inputs, future = batch.waiting[0]
            rows += _rows(inputs)
            if requests and rows > self._settings.batch_size:
                break
            batch.waiting.popleft()
            self._count(-1)
            # The client may have gone, or its deadline passed.
            if not future.done():
                requests.append((inputs, future))
        return requests

    def _count(self, change: int) -> None:
        self._waiting += change
        WAITING.set(self._waiting)

    def _compute(self, batch, requests, loop) -> None:
        """In a worker: computes the requests and hands the results to the event loop."""
        results = _results(batch, [inputs for inputs, _ in requests])
        loop.call_soon_threadsafe(self._finish, requests, results)

    def _finish(self, requests, results) -> None:
        self._free += 1
        for (_, future), result in zip(requests, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
        self._start()


def _results(batch: Batch, requests: list[Arrays]) -> list[Arrays | Exception]:
    """The outputs of each request, or why it has none; one that fails spoils no other."""
    BATCH_ROWS.observe(sum(map(_rows, requests)))
    try:
        outputs = batch.version.run(batch.signature, _join(requests))
    except Exception as error:  # Whatever it is, it belongs to the request.
        if len(requests) == 1:
            return [error]
        return [_results(batch, [request])[0] for request in requests]
    ends = np.cumsum([_rows(inputs) for inputs in requests])[:-1]
    if not len(ends):
        return [outputs]
    parts = {name: np.split(array, ends) for name, array in outputs.items()}
    return [{name: parts[name][i] for name in parts} for i in range(len(requests))]


def _rows(inputs: Arrays) -> int:
    return next((len(array) for array in inputs.values() if array.ndim), 1)


def _key(version: Version, signature: str, inputs: Arrays) -> tuple:
    """Equal for requests that can be joined; unique for one that cannot be."""
    alone = (object(),)
    for info in version.signatures[signature].outputs.values():
        shape = info.tensor_shape
        if shape.unknown_rank or not shape.dim or shape.dim[0].size != -1:
            return alone
    rows = {len(array) for array in inputs.values() if array.ndim}
    read = {inputs[name].shape for name in ("history", "times") if name in inputs}
    if (
        len(rows) != 1
        or 0 in rows
        # The model refuses it; padded to the width of others, it would pass.
        or len(read) > 1
        or any(array.ndim and array[0].size > WIDEST for array in inputs.values())
        or inputs.get("k", np.int32(0)).max(initial=0) > WIDEST
    ):
        return alone
    outputs = version.signatures[signature].outputs
    like = []
    for name, array in sorted(inputs.items()):
        if not array.ndim:
            like.append((name, array.item()))
        elif name == "k":
            # The answer has so many columns.
            like.append((name, array.shape[1:], array.max().item()))
        elif name not in PADDED or (name == "history" and "attention" in outputs):
            like.append((name, array.shape[1:]))
    return (version, signature, *like)


def _join(requests: list[Arrays]) -> Arrays:
    """One batch of the rows of all requests."""
    if len(requests) == 1:
        return requests[0]
    joined = {}
    for name, first in requests[0].items():
        arrays = [inputs[name] for inputs in requests]
        if name in PADDED:
            arrays = _padded(arrays)
        joined[name] = np.concatenate(arrays) if first.ndim else first
    return joined


def _padded(arrays: list[np.ndarray]) -> list[np.ndarray]:
    width = max(array.shape[1] for array in arrays)
    # No log has the smallest integer as an id.
    padding = b"" if arrays[0].dtype == object else np.iinfo(arrays[0].dtype).min
    return [
        np.pad(array, [(0, 0), (0, width - array.shape[1])], constant_values=padding)
        for array in arrays
    ]
