"""The commands work from any directory, whatever lies in it."""

import pytest

from tests.processes import run

# What each of them would run if it asked for the module `export`.
TRAP = "raise SystemExit('the export.py of the user was run')\n"


@pytest.fixture
def elsewhere(tmp_path):
    """A directory with an `export.py`."""
    (tmp_path / "export.py").write_text(TRAP)
    return tmp_path


@pytest.mark.long
def test_export_serve_and_ask_beside_an_export_py(elsewhere, recommenders, serve):
    recommenders["timirec"].save(elsewhere / "run" / "model")
    # What is imported is what matters here.
    there = {"cwd": elsewhere, "fresh": True}
    exported = run(["-m", "tfrs_timirec.export", "run", "--out", "models", "--k", "4"], **there)
    assert exported.returncode == 0, exported.stderr
    assert (elsewhere / "models" / "exact" / "1" / "saved_model.pb").exists()
    assert "-m tfrs_timirec.export.server models" in exported.stdout
    (asked,) = (line for line in exported.stdout.splitlines() if line.startswith("Ask:"))
    assert "-m tfrs_timirec.export.client i" in asked
    server = serve("models", **there)
    client = ["-m", *asked.split("-m ")[1].split(), "--k", "3", "--address", server.address]
    answered = run(client, **there)
    assert answered.returncode == 0, answered.stderr
    assert answered.stdout.count("│ i") == 3
    assert server.process.poll() is None


@pytest.mark.parametrize("module", ["export", "export.server", "export.client"])
def test_the_short_names_work_in_the_checkout(module):
    done = run(["-m", module, "--help"], fresh=True)
    assert done.returncode == 0 and f"python -m tfrs_timirec.{module} " in done.stdout
