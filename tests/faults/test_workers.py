"""Workers that are killed, hang or are stopped, and workers on hosts of their own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.processes import PATIENCE
from tests.training.test_resume import rows, wait_for

faults = pytest.mark.faults
ROOT = Path(__file__).parents[2]


@pytest.fixture
def together(log, tmp_path):
    """Starts a training of two workers; what still runs in the end is killed."""
    launchers = []

    def start(run: str, *more: str) -> subprocess.Popen:
        launchers.append(
            subprocess.Popen(
                [
                    *(sys.executable, "-m", "tfrs_timirec.train", "--workers=2"),
                    *(f"--data.source={log}", f"--data.folder={tmp_path / 'data'}"),
                    *("--model.embedding_size=16", "--model.history_length=5"),
                    *("--model.predictor_layers=2", "--model.predictor_dropout=0.2"),
                    *("--training.batch_size=16", "--training.max_epochs=3"),
                    *("--evaluation.negatives=30", f"--run={tmp_path / run}", *more),
                ],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return launchers[-1]

    yield start
    for launcher in launchers:
        launcher.kill()


def workers_of(launcher: subprocess.Popen) -> list[int]:
    """The processes of the workers, the chief's first."""
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text()
    return sorted(map(int, children.split()))


def assert_same(one: Path, other: Path) -> None:
    for name in ("phase1.npz", "phase2.npz"):
        with np.load(one / "checkpoints" / name) as a, np.load(other / "checkpoints" / name) as b:
            assert a.files == b.files
            for file in a.files:
                assert a[file].tobytes() == b[file].tobytes(), (name, file)
    assert (one / "metrics.json").read_text() == (other / "metrics.json").read_text()


def gone(processes: list[int]) -> bool:
    lines = [Path(f"/proc/{process}/cmdline") for process in processes]
    # It is empty when nobody has asked yet for the exit code.
    return not any(line.exists() and line.read_text() for line in lines)


@pytest.mark.long
def test_after_a_loss_it_ends_with_the_same_weights(together, tmp_path):
    launcher = together("whole")
    _, errors = launcher.communicate(timeout=PATIENCE)
    assert (launcher.returncode, errors) == (0, "")

    launcher = together("killed")
    wait_for(launcher, lambda: rows(tmp_path / "killed"))
    time.sleep(0.3)
    os.kill(workers_of(launcher)[1], signal.SIGKILL)
    wait_for(launcher, lambda: len(rows(tmp_path / "killed")) >= 5)
    os.kill(workers_of(launcher)[0], signal.SIGKILL)
    _, errors = launcher.communicate(timeout=PATIENCE)
    assert launcher.returncode == 0, errors
    assert errors.splitlines() == [
        f"Worker {rank} was ended by SIGKILL: all start again from the last checkpoint."
        for rank in (1, 0)
    ]
    assert_same(tmp_path / "whole", tmp_path / "killed")


@faults
def test_one_that_hangs_is_noticed(together, tmp_path):
    launcher = together("hung", "--worker_timeout=10")
    wait_for(launcher, lambda: rows(tmp_path / "hung"))
    hung = workers_of(launcher)[1]
    os.kill(hung, signal.SIGSTOP)
    _, errors = launcher.communicate(timeout=PATIENCE)
    assert launcher.returncode == 0, errors
    assert errors == "Worker 1 did not answer: all start again from the last checkpoint.\n"
    assert gone([hung])


@faults
def test_it_gives_up_when_nothing_helps(together, tmp_path):
    launcher = together("hopeless")
    killed = set()

    def started_again() -> bool:
        return len(set(workers_of(launcher)) - killed) == 2

    for _ in range(3):
        wait_for(launcher, started_again)
        killed |= set(workers_of(launcher))
        time.sleep(1)
        os.kill(workers_of(launcher)[1], signal.SIGKILL)
    _, errors = launcher.communicate(timeout=PATIENCE)
    assert launcher.returncode == 2
    assert errors.splitlines()[-1].startswith(
        "error: Worker 1 was ended by SIGKILL; it was loss 3 in a row without a checkpoint between"
    )


@faults
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_all_stop_with_a_checkpoint(together, number, code, tmp_path):
    launcher = together("stopped")
    wait_for(launcher, lambda: rows(tmp_path / "stopped"))
    processes = workers_of(launcher)
    launcher.send_signal(number)
    _, errors = launcher.communicate(timeout=PATIENCE)
    assert launcher.returncode == code
    assert errors.count("\n") == 1
    assert errors.startswith("Interrupted. Continue with: ")
    assert errors.endswith(" --resume\n")
    assert gone(processes)


@faults
def test_one_that_is_stopped_stops_all(together, tmp_path):
    launcher = together("stopped")
    wait_for(launcher, lambda: rows(tmp_path / "stopped"))
    os.kill(workers_of(launcher)[1], signal.SIGTERM)
    _, errors = launcher.communicate(timeout=PATIENCE)
    assert launcher.returncode == 143
    assert errors.startswith("Interrupted. Continue with: ")


@faults
def test_without_the_launcher_none_goes_on(together, tmp_path):
    launcher = together("alone")
    wait_for(launcher, lambda: rows(tmp_path / "alone"))
    processes = workers_of(launcher)
    launcher.kill()
    deadline = time.monotonic() + 120
    while not gone(processes) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert gone(processes)


@pytest.mark.long
def test_a_mistake_is_told_once(together, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    launcher = together("there")
    _, errors = launcher.communicate(timeout=PATIENCE)
    assert launcher.returncode == 2
    assert errors == (
        f"error: {tmp_path / 'there'} is there and is no run folder: name another one with --run.\n"
    )


@pytest.fixture
def hosts():
    """Two network namespaces joined by a cable, and the addresses in them."""
    names = [f"timirec{os.getpid()}{end}" for end in "ab"]

    def ip(*words: str) -> bool:
        return not subprocess.run(["ip", *words], capture_output=True).returncode

    if not shutil.which("ip") or not ip("netns", "add", names[0]):
        pytest.skip("network namespaces need root and iproute2")
    ip("netns", "add", names[1])
    ends = [f"veth{os.getpid() % 10000}{end}" for end in "ab"]
    ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
    addresses = ["10.77.0.1", "10.77.0.2"]
    for name, end, address in zip(names, ends, addresses, strict=True):
        ip("link", "set", end, "netns", name)
        inside = ("netns", "exec", name, "ip")
        ip(*inside, "address", "add", f"{address}/24", "dev", end)
        ip(*inside, "link", "set", end, "up")
        ip(*inside, "link", "set", "lo", "up")
    yield list(zip(names, addresses, strict=True))
    for name in names:
        ip("netns", "delete", name)


@faults
def test_workers_on_two_hosts(together, hosts, log, tmp_path):
    launcher = together("one_host")
    _, errors = launcher.communicate(timeout=PATIENCE)
    assert launcher.returncode == 0, errors
    command = [word for word in launcher.args if not word.startswith("--workers")]
    addresses = [f"{address}:4711" for _, address in hosts]
    processes = []
    for index, (name, _) in enumerate(hosts):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        # Only the chief writes: the other has no folder of the run.
        run = f"--run={tmp_path / ['two_hosts', 'nowhere'][index]}"
        processes.append(
            subprocess.Popen(
                ["ip", "netns", "exec", name, *command, run],
                env={**os.environ, "TF_CONFIG": json.dumps(config)},
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    for process in processes:
        _, errors = process.communicate(timeout=PATIENCE)
        assert (process.returncode, errors) == (0, "")
    assert_same(tmp_path / "one_host", tmp_path / "two_hosts")
    assert not (tmp_path / "nowhere").exists()
