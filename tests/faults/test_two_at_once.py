"""Two processes that write one thing: one of them is refused, or waits; the killed do not count."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tfrs_timirec.errors import UserError
from tfrs_timirec.files import locked, restore, scratch, write_folder

HOLD = """
import sys, time
from pathlib import Path
from tfrs_timirec.files import locked, scratch, write_folder
def hold(folder):
    (folder / "begun").touch()
    print("held", flush=True)
    time.sleep(600)
what, path = sys.argv[1], Path(sys.argv[2])
if what == "lock":
    with locked(path):
        hold(path.parent)
elif what == "scratch":
    with scratch(path, "spill") as folder:
        hold(folder)
else:
    write_folder(path, hold)
"""


@pytest.fixture
def holder():
    """Starts a process that holds a path until it is killed."""
    processes = []

    def start(what: str, path: Path) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, what, str(path)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def kill(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_second_one_is_refused_until_the_first_is_gone(holder, tmp_path):
    first = holder("lock", tmp_path / "run")
    with (
        pytest.raises(UserError, match="run is in use by another process"),
        locked(tmp_path / "run"),
    ):
        raise AssertionError
    kill(first)
    assert (tmp_path / ".run.lock").exists()
    with locked(tmp_path / "run"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"begun"}


def test_one_that_waits_gets_it_when_the_first_is_gone(holder, tmp_path):
    first = holder("folder", tmp_path / "model")
    ended = []

    def write():
        write_folder(tmp_path / "model", lambda folder: (folder / "a").write_text("new"))
        ended.append(True)

    thread = threading.Thread(target=write)
    thread.start()
    time.sleep(0.3)
    assert not ended
    kill(first)
    thread.join(60)
    assert ended and [path.name for path in tmp_path.rglob("*")] == ["model", "a"]


def test_scratch_folders_of_the_living_stay_and_those_of_the_killed_go(holder, tmp_path):
    living, killed = holder("scratch", tmp_path), holder("scratch", tmp_path)
    kill(killed)
    assert len(list(tmp_path.glob("spill-*"))) == 2
    with scratch(tmp_path, "spill"):
        assert len(list(tmp_path.glob("spill-*"))) == 2
    assert len(list(tmp_path.glob("spill-*"))) == 1
    kill(living)
    with scratch(tmp_path, "spill"):
        pass
    assert not list(tmp_path.iterdir())


def test_what_was_there_can_be_read_beside_a_writer_and_what_it_left_goes(holder, tmp_path):
    folder = tmp_path / "model"
    write_folder(folder, lambda new: (new / "a").write_text("old"))
    writer = holder("folder", folder)
    restore(folder)
    assert (folder / "a").read_text() == "old"
    assert (tmp_path / ".model.part").exists()
    kill(writer)
    restore(folder)
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "a"]


def test_a_folder_that_was_moved_away_is_brought_back(tmp_path):
    part = tmp_path / ".model.part"
    (part / "old").mkdir(parents=True)
    (part / "old" / "a").write_text("old")
    (part / "new").mkdir()
    restore(tmp_path / "model")
    assert (tmp_path / "model" / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
