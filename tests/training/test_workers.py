"""Processes that train together compute what one computes on the same batches."""

import json
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.processes import ENVIRONMENT, PATIENCE, Popen
from tfrs_timirec.errors import UserError
from tfrs_timirec.training import workers

STEPS = Path(__file__).with_name("worker_steps.py")


def cluster(count: int) -> list[dict]:
    """The environment of each worker of a cluster on free ports of this machine."""
    listening = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{server.getsockname()[1]}" for server in listening]
    for server in listening:
        server.close()
    configs = [
        {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        for index in range(count)
    ]
    return [{**ENVIRONMENT, "TF_CONFIG": json.dumps(config)} for config in configs]


def run_all(commands: list[list], environments: list[dict]) -> list[tuple[int, str]]:
    """Exit code and errors of processes that run at once."""
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    processes = [
        Popen(command, env=environment, **pipes)
        for command, environment in zip(commands, environments, strict=True)
    ]
    try:
        told = [process.communicate(timeout=PATIENCE)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, errors) for process, errors in zip(processes, told, strict=True)]


@pytest.mark.long
@pytest.mark.parametrize(
    "objective", ['objective="bpr"', 'objective="sampled_softmax"'], ids=["bpr", "softmax"]
)
def test_the_losses_of_two_are_those_of_one(objective, log, tmp_path):
    command = [
        *(STEPS, tmp_path / "one.json", f'source="{log}"', f'folder="{tmp_path}"', objective),
        *("embedding_size=16", "batch_size=64", "learning_rate=0.001", "predictor_layers=2"),
    ]
    two = [command[0], tmp_path / "two.json", *command[2:]]
    ended = run_all([command], [ENVIRONMENT]) + run_all([two, two], cluster(2))
    assert [code for code, _ in ended] == [0, 0, 0], ended
    one, two = (json.loads((tmp_path / name).read_text()) for name in ("one.json", "two.json"))
    losses = np.array(one["losses"]) - two["losses"]
    for phase in np.split(losses, 2):
        assert abs(phase).max() < 1e-4
    # Each draws a dropout of its own.
    np.testing.assert_array_equal(two["summed"], 2 * np.array(two["seeds"]) + [1, 0])


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("{", "TF_CONFIG cannot be used"),
        ('{"cluster": {"worker": ["a:1", "b:2"]}}', "TF_CONFIG cannot be used ('task')"),
        (
            '{"cluster": {"worker": ["a:1"], "ps": ["b:2"]}, "task": {"type": "ps", "index": 0}}',
            "its jobs are not chief and worker",
        ),
        (
            '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 2}}',
            "its task is not one of them",
        ),
        (
            '{"cluster": {"worker": ["a:1", "b"]}, "task": {"type": "worker", "index": 0}}',
            "TF_CONFIG cannot be used",
        ),
    ],
)
def test_a_damaged_cluster_is_one_sentence(config, told, arguments, tmp_path):
    environment = {**ENVIRONMENT, "TF_CONFIG": config}
    command = ["-m", "tfrs_timirec.train", *arguments, f"--run={tmp_path / 'run'}"]
    ((code, errors),) = run_all([command], [environment])
    assert code == 2
    assert errors.count("\n") == 1
    assert told in errors
    assert not (tmp_path / "run").exists()


def test_a_worker_that_never_comes_is_named(arguments, tmp_path):
    chief, other = cluster(2)
    command = ["-m", "tfrs_timirec.train", *arguments, f"--run={tmp_path / 'run'}"]
    ((code, errors),) = run_all([[*command, "--worker_timeout=1"]], [chief])
    missing = json.loads(other["TF_CONFIG"])["cluster"]["worker"][1]
    assert code == 2
    assert errors.startswith(f"error: No worker answers at {missing} within 1 s")
    assert errors.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_taken_port_is_named(arguments, tmp_path):
    chief, _ = cluster(2)
    port = int(json.loads(chief["TF_CONFIG"])["cluster"]["worker"][0].rsplit(":", 1)[1])
    command = ["-m", "tfrs_timirec.train", *arguments, f"--run={tmp_path / 'run'}"]
    with socket.create_server(("127.0.0.1", port)):
        ((code, errors),) = run_all([command], [chief])
    assert code == 2
    assert errors.startswith(f"error: Worker 0 cannot listen on port {port}")


@pytest.mark.long
def test_workers_of_different_settings_are_told_apart(arguments, tmp_path):
    command = ["-m", "tfrs_timirec.train", *arguments, f"--run={tmp_path / 'run'}"]
    (chief, _), (code, errors) = run_all([command, [*command, "--seed=8"]], cluster(2))
    assert code == 2
    assert "Worker 1 has another seed than the chief: 8 in place of 7" in errors
    assert chief == 75


def test_a_batch_that_cannot_be_shared(arguments, tmp_path):
    command = ["-m", "tfrs_timirec.train", *arguments, f"--run={tmp_path / 'run'}"]
    ended = run_all([[*command, "--training.batch_size=33"]] * 2, cluster(2))
    assert {code for code, _ in ended} == {2}
    assert "training.batch_size is 33, which 2 workers cannot share evenly" in ended[0][1]


@pytest.mark.parametrize(
    "task",
    [
        {"type": "evaluator", "index": 0},
        {"type": "worker", "index": -1},
        {"type": "worker", "index": 1},
        {"type": "chief", "index": 1},
    ],
)
def test_a_task_that_is_none_of_the_cluster(task, monkeypatch):
    config = {"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": task}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    with pytest.raises(UserError, match="TF_CONFIG cannot be used"):
        workers.join(timeout=0)


@pytest.mark.parametrize(("gpus", "used"), [(0, []), (1, ["gpu 0"]), (2, ["gpu 1"])])
def test_a_worker_computes_on_one_gpu(gpus, used, monkeypatch):
    seen = []
    config = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    monkeypatch.setattr(
        workers.tf.config, "list_physical_devices", lambda _: [f"gpu {i}" for i in range(gpus)]
    )
    monkeypatch.setattr(
        workers.tf.config, "set_visible_devices", lambda device, _: seen.append(device)
    )
    with pytest.raises(UserError):
        # Nobody is there to meet.
        workers.join(timeout=0)
    assert seen == used
