"""The command `timirec`, configurations by name, and packages that are not installed."""

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.processes import ENVIRONMENT, run
from tfrs_timirec import Recommender, UserError, __version__
from tfrs_timirec.commands import COMMANDS
from tfrs_timirec.config import config_path

ROOT = Path(__file__).parents[1]
# Runs a command as `timirec` does, in an interpreter that cannot import what is named first.
WITHOUT = """
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in absent:
            raise ModuleNotFoundError(name)

absent = sys.argv.pop(1).split(",")
sys.meta_path.insert(0, Absent())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name in absent else found(name)
sys.argv[0] = "/bin/timirec"
from tfrs_timirec.__main__ import main
main()
"""


def timirec(*arguments: str, absent: str = "tensorflow,keras") -> subprocess.CompletedProcess:
    """Runs the command where some modules cannot be imported."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, absent, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def test_help_and_version_import_no_tensorflow():
    done = timirec("--help")
    assert done.returncode == 0, done.stderr
    assert all(f"\n    {name}" in done.stdout for name in COMMANDS)
    assert timirec("--version").stdout == f"timirec {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["trane"]])
def test_no_command_is_a_mistake(arguments):
    done = timirec(*arguments)
    assert done.returncode == 2 and "COMMAND" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "name", ["audit", "evaluate", "recommend", "export", "serve", "ask", "explore"]
)
def test_the_help_of_a_command_imports_no_tensorflow(name):
    done = timirec(name, "--help")
    assert done.returncode == 0, done.stderr
    assert f" {name} " in done.stdout.splitlines()[0]


@pytest.mark.parametrize(
    "arguments",
    [
        ["export", "run", "--out", "models"],
        ["serve", "."],
        ["ask", "item-1"],
        ["train", "--export", "models"],
    ],
)
def test_a_missing_extra_is_told_before_any_work(arguments):
    done = timirec(*arguments, absent="tensorflow_serving,grpc_health")
    assert done.returncode == 2
    assert "tensorflow-serving-api" in done.stderr
    assert "pip install 'tfrs-timirec[serving]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_extra_of_the_explorer_is_told_before_any_work():
    done = timirec("explore", "run", absent="openTSNE,tensorflow")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "openTSNE is not installed: pip install 'tfrs-timirec[explorer]'" in done.stderr


def test_a_configuration_is_found_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config_path("beauty").resolve() == ROOT / "configs" / "beauty.yaml"
    (tmp_path / "beauty").mkdir()
    assert Recommender.from_config("beauty").settings.data.source == "beauty"
    (tmp_path / "gowalla").write_text("seed: 3")
    assert Recommender.from_config("gowalla").settings.seed == 3


def test_a_configuration_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(UserError, match=r"no configuration bauty.*beauty, beauty_best"):
        config_path("bauty")
    for command in ("train", "compare"):
        done = timirec(command, "--config", "bauty", absent="ibis")
        assert done.returncode == 2 and "compare_beauty" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.long
def test_flags_that_name_files(log, arguments, tmp_path):
    def does(*words):
        done = run(["-m", "tfrs_timirec", *words], env=ENVIRONMENT | {"COLUMNS": "200"})
        assert done.returncode == 0, done.stderr
        return done.stdout

    short = [flag for flag in arguments if not flag.startswith("--training.max")]
    short.append("--training.max_epochs=1")
    of_comirec = [flag for flag in short if not flag.startswith("--model.predictor")]
    first, second = tmp_path / "first", tmp_path / "run"
    does("train", *of_comirec, "--model.system=comirec", f"--run={first}")
    models = tmp_path / "models"
    told = does("train", *short, f"--run={second}", f"--pretrained={first}", f"--export={models}")
    assert f"Phase 1 of 2: as {first} has it" in told
    assert (models / "exact" / "1" / "saved_model.pb").exists()

    (tmp_path / "users.txt").write_text("u3\nu17\n")
    does("recommend", second, "--out", tmp_path / "recs", "--users", tmp_path / "users.txt")
    assert set(pq.read_table(tmp_path / "recs")["user_id"].to_pylist()) == {"u3", "u17"}

    kinds = "".join(f"i{item},k{item % 3}\n" for item in range(60))
    (tmp_path / "kinds.csv").write_text(f"thing,kind\n{kinds}")
    titles = [f"--titles={tmp_path / 'kinds.csv'}", "--titles_id_column=thing"]
    told = does("evaluate", second, "--log", log, *titles, "--categories_column=kind")
    assert "Diversity@10" in told


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py")))
def test_each_benchmark_starts(name):
    done = run(["-m", f"benchmarks.{name}", "--help"])
    assert done.returncode == 0 and "usage: " in done.stdout, done.stderr
