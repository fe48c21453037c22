"""Starts the workers of a training on this machine, and again when one is lost."""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tfrs_timirec.errors import LostWorker, Stopped, UserError

# How many losses in a row without a checkpoint between.
_MOST_LOSSES = 3
# Seconds in which the others notice that one is gone.
_GRACE = 5
_PR_SET_PDEATHSIG = 1


@dataclass
class _Worker:
    """A process, and the file of what it says on standard error."""

    process: subprocess.Popen
    errors: IO[str]

    @property
    def code(self) -> int | None:
        """Its exit code, negative if a signal ended it; None while it runs."""
        return self.process.poll()

    @property
    def has_told(self) -> bool:
        """Whether it has ended and says why; one that has lost another has nothing to say."""
        return (self.code or 0) > 0 and self.code != LostWorker.code


def launch(arguments: Sequence[str], count: int, checkpoint: Path) -> None:
    """Trains with several processes of this machine, until they have finished.

    When one is lost, the others are ended and all start again from the last checkpoint. Where one
    cannot go on, the command ends with its exit code, and on standard error with what it says.

    Args:
        arguments: Those of `python -m tfrs_timirec.train`.
        count: How many processes.
        checkpoint: The file of the last checkpoint.

    Raises:
        UserError: If workers are lost again and again without a new checkpoint.
    """
    last, losses = None, 0
    while True:
        with _started(arguments, count) as workers:
            lost = _wait(workers)
            told = next((worker for worker in workers if worker.has_told), None)
            if told or not lost:
                _tell(told or workers[0])
                sys.exit(told.code if told else 0)
        written = checkpoint.stat().st_mtime_ns if checkpoint.exists() else None
        last, losses = written, losses + 1 if written == last else 1
        if losses == _MOST_LOSSES:
            raise UserError(
                f"{lost}; it was loss {losses} in a row without a checkpoint between: see "
                "whether the memory is enough for all, and go on with --resume."
            )
        print(f"{lost}: all start again from the last checkpoint.", file=sys.stderr, flush=True)
        arguments = [*arguments, *["--resume"] * ("--resume" not in arguments)]


@contextmanager
def _started(arguments: Sequence[str], count: int) -> Iterator[list[_Worker]]:
    """The workers; Ctrl-C and SIGTERM are passed on to them, and none is left in the end."""
    with ExitStack() as stack:
        workers = []
        for task in _tasks(count):
            errors = stack.enter_context(tempfile.TemporaryFile("w+"))
            process = subprocess.Popen(
                [sys.executable, "-m", "tfrs_timirec.train", *arguments],
                env={**os.environ, "TF_CONFIG": json.dumps(task)},
                # All compute the same; the chief shows it.
                stdout=subprocess.DEVNULL if workers else None,
                stderr=errors,
                # Ctrl-C would reach them twice.
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            workers.append(_Worker(process, errors))
        try:
            yield workers
        except Stopped as stopped:
            for worker in workers:
                worker.process.send_signal(stopped.number)
            for worker in workers:
                worker.process.wait()
            _tell(workers[0])
            sys.exit(128 + stopped.number)


def _tasks(count: int) -> Iterator[dict]:
    """What TF_CONFIG says to each worker."""
    with ExitStack() as stack:
        free = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        addresses = [f"127.0.0.1:{listening.getsockname()[1]}" for listening in free]
    for rank in range(count):
        yield {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}}


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait(workers: Sequence[_Worker]) -> str:
    """Waits until all have finished, or one is lost and the others had time to notice.

    Returns:
        Which one is lost and how, as the beginning of a sentence; empty if none is.
    """
    while not any(worker.code for worker in workers):
        if all(worker.code == 0 for worker in workers):
            return ""
        time.sleep(0.1)
    deadline = time.monotonic() + _GRACE
    while time.monotonic() < deadline and any(worker.code is None for worker in workers):
        time.sleep(0.1)
    for rank, worker in enumerate(workers):
        if (worker.code or 0) < 0:
            return f"Worker {rank} was ended by {signal.Signals(-worker.code).name}"
    hung = [rank for rank, worker in enumerate(workers) if worker.code is None]
    return f"Worker {hung[0]} did not answer" if hung else "The workers lost each other"


def _tell(worker: _Worker) -> None:
    worker.errors.seek(0)
    print(worker.errors.read(), end="", file=sys.stderr)
