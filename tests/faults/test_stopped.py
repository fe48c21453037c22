"""Ctrl-C and SIGTERM: one line, exit code 130 or 143, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.processes import PATIENCE, ROOT

SCRIPT = """
import sys, time
from pathlib import Path
from tfrs_timirec.errors import run_command
from tfrs_timirec.files import scratch, write_folder
def command():
    with scratch(Path(sys.argv[1]), "spill") as folder:
        print("begun", flush=True)
        {body}
run_command(command)
"""
BODIES = {
    "waits": "time.sleep(3600)",
    "writes": "write_folder(Path(sys.argv[1]) / 'model', lambda folder: time.sleep(3600))",
    "imports": """
        import importlib.util, types
        def load(module):
            time.sleep(3600)
        loader = types.SimpleNamespace(create_module=lambda spec: None, exec_module=load)
        class Finder:
            def find_spec(name, path, target=None):
                return importlib.util.spec_from_loader(name, loader)
        sys.meta_path.insert(0, Finder)
        write_folder(Path(sys.argv[1]) / "model", lambda folder: __import__("slow"))""",
    # As libraries do where a signal comes while they are imported.
    "turns it into an error": """
        try:
            time.sleep(3600)
        except BaseException:
            raise ImportError("a library") from None""",
    "loses it": """
        try:
            time.sleep(3600)
        except BaseException:
            pass""",
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_is_stopped(body, number, code, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(body=BODIES[body]), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout.readline() == "begun\n"
    process.send_signal(number)
    _, told = process.communicate(timeout=PATIENCE)
    assert (process.returncode, told) == (code, "Interrupted.\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.faults
@pytest.mark.parametrize("seconds", [0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 13])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_training_is_stopped_at_any_time(seconds, number, code, arguments, tmp_path):
    endless = [f"--training.{name}=100000" for name in ("max_epochs", "patience", "decline")]
    run = f"--run={tmp_path / 'run'}"
    process = subprocess.Popen(
        [sys.executable, "-m", "tfrs_timirec.train", *arguments, *endless, run],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    time.sleep(seconds)
    process.send_signal(number)
    _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, told
    assert told.count("\n") == 1 and told.startswith("Interrupted."), told
    assert not [path for path in tmp_path.rglob(".*") if path.suffix in (".lock", ".part")]


def others(folder: Path, out: Path) -> dict[str, list[str]]:
    """The other commands, each with its flags, over the runs in a folder."""
    run = str(folder / "youtube_dnn")
    compared = out / "compare.yaml"
    compared.write_text(
        "systems: {a: {model: {system: youtube_dnn}}}\nreferences: [a]\nseeds: 2\njobs: 1\n"
        f"runs: {out / 'runs'}\nout: {out / 'report'}\n"
        f"base: {{data: {{source: {folder / 'log.csv'}, folder: {out / 'data'}}}}}\n"
    )
    return {
        "evaluate": ["tfrs_timirec.evaluate", run],
        "recommend": ["tfrs_timirec.recommend", run, f"--out={out / 'recommended'}"],
        "export": ["tfrs_timirec.export", run, f"--out={out / 'models'}"],
        "compare": ["tfrs_timirec.compare", f"--config={compared}"],
        "serve": ["tfrs_timirec.export.server", str(folder), "--port=0"],
    }


@pytest.mark.faults
@pytest.mark.parametrize("seconds", [1, 2, 4, 7, 11])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("command", ["evaluate", "recommend", "export", "compare", "serve"])
def test_any_command_is_stopped_at_any_time(command, seconds, number, code, systems, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", *others(systems["youtube_dnn"].run.parent, tmp_path)[command]],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    time.sleep(seconds)
    process.send_signal(number)
    _, told = process.communicate(timeout=PATIENCE)
    # It may have come to its end meanwhile, but not as early as that.
    assert process.returncode == code or (process.returncode == 0 and seconds > 2), told
    assert "Traceback" not in told, told
    # The server's log has other lines.
    if process.returncode and command != "serve":
        assert told.splitlines()[-1].startswith(("Interrupted.", "Saved.")), told
    left = {path.name for path in tmp_path.rglob(".*") if path.suffix in (".lock", ".part")}
    assert not left | {path.name for path in tmp_path.rglob("*duckdb*")}
