"""What a user's mistake and a signal raise, and how the commands report it."""

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


class UserError(ValueError):
    """Bad input or settings; its one sentence says what is wrong, where, and what to do.

    Attributes:
        code: The exit code of a command that ends with it.
    """

    code = 2


class LostWorker(UserError):
    """Another worker of a training is gone or does not answer; all can start again."""

    code = 75


class Stopped(KeyboardInterrupt):
    """Ctrl-C or SIGTERM came.

    Args:
        number: Of the signal.
        told: What to tell the user.
    """

    def __init__(self, number: int, told: str = "Interrupted."):
        super().__init__(told)
        self.number = number


def run_command(command: Callable[[], None]) -> None:
    """Runs a command, and says in one line on standard error why it did not finish.

    A user's mistake ends with exit code 2, Ctrl-C with 130 and SIGTERM with 143.
    """
    # TensorFlow's notes are for those who ask for them.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # The products of a training step are too small to be worth sharing among threads.
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
    # The work is done then: a signal would only spoil the exit code.
    atexit.register(_ignore_signals)
    with _stopping() as stopped:
        try:
            _check_arguments()
            command()
        except UserError as error:
            _end(f"error: {error}", error.code, stopped)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            _end(f"error: {where}{error.strerror or error}.", 2, stopped)
        except Stopped as error:
            _end(str(error), 128 + error.number, [])
        except Exception:
            # What a library makes of a signal that comes while it is imported, for instance.
            if not stopped:
                raise
            _end("", 2, stopped)
        if stopped:
            _end("", 0, stopped)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait for the end of the block, which should be short.

    Raises:
        Stopped: When the block ends, if one of them came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _deferral.depth += 1
    try:
        yield
    finally:
        _deferral.depth -= 1
        number = _deferral.number
        if number is not None and not _deferral.depth:
            _deferral.number = None
            raise Stopped(number)


@contextmanager
def cleaning(clean: Callable[[], object]) -> Iterator[None]:
    """Cleans up when the block ends, and also where a signal ends the process at once.

    Args:
        clean: Takes little time; Ctrl-C and SIGTERM wait for its end.
    """
    _cleanups.append(clean)
    try:
        yield
    finally:
        with uninterrupted():
            _cleanups.remove(clean)
            clean()


_cleanups: list[Callable[[], object]] = []


@dataclass
class _Deferral:
    """How many blocks a signal has to wait for, and which one waits."""

    depth: int = 0
    number: int | None = None


_deferral = _Deferral()


@contextmanager
def _stopping() -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM raise `Stopped` and are noted; a second one ends the process at once."""
    stopped: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        # Signals are the main thread's alone.
        yield stopped
        return

    def stop(number, frame):
        if stopped:
            os._exit(128 + number)
        stopped.append(number)
        if _deferral.depth:
            _deferral.number = number
            return
        if _is_importing(frame):
            # Libraries pass over exceptions there.
            for clean in reversed(_cleanups):
                clean()
            print(Stopped(number), file=sys.stderr, flush=True)
            os._exit(128 + number)
        raise Stopped(number)

    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        # A shell starts background jobs deaf to Ctrl-C.
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, stop)
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None


def _check_arguments() -> None:
    for argument in sys.argv:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise UserError(
                f"The argument {argument!a} is not in UTF-8: rename the file, or give another name."
            ) from None


def _end(told: str, code: int, stopped: list[int]) -> None:
    if stopped:
        told, code = str(Stopped(stopped[0])), 128 + stopped[0]
    print(told, file=sys.stderr)
    sys.exit(code)
