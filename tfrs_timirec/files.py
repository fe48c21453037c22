"""Files and folders that are whole or absent, and written by one process at a time."""

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from tfrs_timirec.errors import UserError, cleaning, uninterrupted

# Between two looks whether a lock is free.
WAIT_SECONDS = 0.05


@contextmanager
def locked(path: Path, wait: bool = False) -> Iterator[None]:
    """Makes a path this process's alone to write, until the block ends or the process dies.

    The lock is the operating system's, on a file beside the path; the file may outlive a killed
    process, the lock does not.

    Args:
        path: Of a file or a folder, which need not be there.
        wait: Whether to wait for a process that has it, instead of refusing.

    Raises:
        UserError: If another process has it, or nothing can be written beside it.
    """
    path = path.resolve()
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    lock, descriptor = _lock(path), None

    def release() -> None:
        if descriptor is not None:
            lock.unlink(missing_ok=True)
            os.close(descriptor)

    with cleaning(release):
        while descriptor is None:
            # A signal between taking the lock and knowing of it would leave its file behind.
            with told(path), uninterrupted():
                descriptor = _take(lock)
            if descriptor is None and not wait:
                raise UserError(
                    f"{path} is in use by another process: wait until that has ended, or name "
                    "another folder."
                )
            if descriptor is None:
                time.sleep(WAIT_SECONDS)
        yield


def _take(lock: Path) -> int | None:
    """The descriptor of the file, locked; None if another process has it."""
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever had it before has taken the file away in the end.
            if os.fstat(descriptor).st_nlink:
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)


@contextmanager
def scratch(parent: Path, name: str) -> Iterator[Path]:
    """An empty folder for as long as the block lasts; removes those that killed processes left.

    Args:
        parent: Where it is made.
        name: What its name begins with, by which those that were left are known.
    """
    remove_left(parent, name)
    folder = parent / f"{name}-{secrets.token_hex(4)}"
    with locked(folder), cleaning(lambda: shutil.rmtree(folder, ignore_errors=True)):
        with told(folder):
            folder.mkdir(mode=0o700)
        yield folder


def remove_left(parent: Path, name: str) -> None:
    """Removes the folders of `scratch` that killed processes left.

    Args:
        parent: Where they are.
        name: What their names begin with.
    """
    for lock in parent.glob(f".{name}-*.lock"):
        left = parent / lock.name.removeprefix(".").removesuffix(".lock")
        # What is in use, or another user's, is left alone.
        with suppress(UserError, OSError), locked(left):
            shutil.rmtree(left)


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Writes a file under a temporary name, flushes it to the disk and renames it.

    Args:
        path: Where the file goes; what was there stays until the new file is complete.
        write: Writes the content to an open binary file.

    Raises:
        UserError: If the disk is full, for instance; the file that was there is untouched.
    """
    temporary = _part(path)
    with told(path), cleaning(lambda: temporary.unlink(missing_ok=True)):
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        flush(path.parent)


def write_folder(folder: Path, write: Callable[[Path], object]) -> None:
    """Writes a folder under a temporary name, flushes it to the disk and renames it.

    A process that is killed between the renames leaves no folder, but the old one beside: the next
    `restore` or `write_folder` brings it back.

    Args:
        folder: Where it goes; what was there stays until the new one is complete.
        write: Writes the files into an empty folder.

    Raises:
        UserError: If the disk is full, for instance; what was there is untouched.
    """
    with told(folder), locked(folder, wait=True):
        _clean(folder)
        written = _part(folder) / "new"
        with cleaning(lambda: _clean(folder)):
            written.mkdir(parents=True)
            write(written)
            flush_all(written)
            if folder.exists():
                os.replace(folder, _part(folder) / "old")
            os.replace(written, folder)
            flush(folder.parent)


def restore(folder: Path) -> None:
    """Removes what a killed `write_folder` left, and brings back the old folder if it was moved.

    Args:
        folder: That was given to `write_folder`; it is to be read or written next.
    """
    # The working directory is "." without a name.
    folder = folder.absolute()
    begun = _part(folder).exists()
    if begun and not folder.exists():
        with locked(folder, wait=True):
            _clean(folder)
    elif begun or _lock(folder).exists():
        # It can be read beside what another process is writing, or what nobody may remove here.
        with suppress(UserError, OSError), locked(folder):
            _clean(folder)


def flush_all(folder: Path) -> None:
    """Flushes a folder and all that is in it to the disk."""
    for path in [*folder.rglob("*"), folder]:
        flush(path)


def flush(path: Path) -> None:
    """Flushes a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Tells the system's errors as one of writing the path, which leaves it as it was."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split()).strip(".")
        raise UserError(
            f"{path} cannot be written ({reason}): what was there before is intact; make room or "
            "name another place, and give the same command again."
        ) from error


def _part(path: Path) -> Path:
    """What is written instead of the path until it is complete."""
    return path.with_name(f".{path.name}.part")


def _lock(path: Path) -> Path:
    """What is locked instead of the path."""
    return path.parent / f".{path.name}.lock"


def _clean(folder: Path) -> None:
    """Removes what is not complete; whoever calls has the lock."""
    part = _part(folder)
    if (part / "old").exists() and not folder.exists():
        os.replace(part / "old", folder)
    shutil.rmtree(part, ignore_errors=True)
