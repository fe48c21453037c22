"""Killed at any step on the disk, or with a disk that fills at any: the same command goes on."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
every_step = pytest.mark.faults


def cases(how: str, command: str, folder: Path, stride: int = 1) -> list[dict]:
    """What `disturb.py` prints."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/faults/disturb.py"), how, command, folder, str(stride)],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "-1",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def sentences(told: str) -> list[str]:
    """What was told beside the progress."""
    return [
        line for line in told.splitlines() if line and not line.startswith(("users ", "shards "))
    ]


def check(how: str, command: str, folder: Path, stride: int = 1) -> None:
    found = cases(how, command, folder, stride)
    assert len(found) > 2
    for case in found[:-1]:
        if how == "kill":
            assert case["code"] == -9, case
        else:
            assert case["code"] == 2, case
            (told,) = sentences(case["told"])
            assert re.fullmatch(r"error: \S+ cannot be written .*No space left.*\.", told), case
        assert (case["again"], sentences(case["told again"])) == (0, []), case
        if command != "export":
            assert case["differs"] == [], case
    assert (found[-1]["code"], sentences(found[-1]["told"])) == (0, [])
    print(f"{how} {command}: {len(found)} cases")


@pytest.mark.parametrize("how", ["kill", "fill"])
def test_files_and_folders(how, tmp_path):
    check(how, "files", tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("how", ["kill", "fill"])
def test_some_steps_of_preparing_a_log(how, tmp_path):
    check(how, "data", tmp_path, 9)


@every_step
@pytest.mark.parametrize("how", ["kill", "fill"])
@pytest.mark.parametrize(
    ("command", "stride"), [("data", 1), ("train", 5), ("learn", 12), ("recommend", 2)]
)
def test_commands(how, command, stride, tmp_path):
    check(how, command, tmp_path, stride)


@every_step
@pytest.mark.parametrize("how", ["kill", "fill"])
def test_an_export_is_both_models_or_none(how, tmp_path):
    found = cases(how, "export", tmp_path, 12)
    assert len(found) > 2 and all(case["code"] for case in found[:-1])
    for case in found:
        assert case["code"] in (-9, 2, 0) and case["again"] == 0, case
        changed = {Path(path).parts[1:] for path in case["differs"]}
        # One that was all but finished is finished by the next, which adds another version.
        versions = {parts[1] for parts in changed if len(parts) > 1}
        assert versions <= {"2"}, case
        assert {parts[0] for parts in changed} in (set(), {"exact", "scann"}), case
