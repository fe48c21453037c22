"""`python -m tfrs_timirec.recommend`: the same as asking the recommender, shard by shard."""

import shutil
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.processes import PATIENCE, Popen, run
from tfrs_timirec import UserError, shards
from tfrs_timirec.shards import write_shards
from tfrs_timirec.training.run import model_in


@pytest.fixture(scope="module")
def trained(systems):
    """A trained TiMiRec and its folder."""
    return systems["timirec"].recommender, systems["timirec"].run


@pytest.fixture
def small_shards(monkeypatch):
    """Shards of 150 of the 400 users."""
    monkeypatch.setattr(shards, "USERS_A_SHARD", 150)


def read(folder: Path) -> pd.DataFrame:
    return pq.read_table(folder).to_pandas()


def test_all_users_in_shards(trained, small_shards, tmp_path):
    recommender, folder = trained
    assert write_shards(folder, tmp_path / "recs", 7) == 400
    names = sorted(path.name for path in (tmp_path / "recs").glob("*.parquet"))
    assert names == [f"part-{number:05}.parquet" for number in range(3)]
    users = recommender.sequences.user_ids.to_pylist()
    expected = recommender.recommend(users=users, k=7)
    pd.testing.assert_frame_equal(read(tmp_path / "recs"), expected, rtol=1e-5)


def test_those_of_a_file(trained, small_shards, tmp_path):
    recommender, folder = trained
    asked = ["u399", "u3", "u17", "u3"]
    (tmp_path / "users.txt").write_text("\ufeff" + "\n".join([*asked, "", ""]))
    assert write_shards(folder, tmp_path / "recs", 3, tmp_path / "users.txt") == 3
    found = read(tmp_path / "recs").sort_values(["user_id", "rank"], ignore_index=True)
    expected = recommender.recommend(users=sorted(set(asked)), k=3)
    pd.testing.assert_frame_equal(found, expected, rtol=1e-5)


def test_what_is_there_is_not_computed_again(trained, small_shards, tmp_path):
    _, folder = trained
    out = tmp_path / "recs"
    write_shards(folder, out, 5)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    (out / "part-00001.parquet").unlink()
    times = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    write_shards(folder, out, 5)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert times.items() <= {path.name: path.stat().st_mtime_ns for path in out.iterdir()}.items()


def test_a_model_that_is_saved_anew_meanwhile(trained, small_shards, tmp_path, monkeypatch):
    model = tmp_path / "model"
    shutil.copytree(model_in(trained[1]), model)
    recommended = shards._recommended

    def after_which_it_is_saved(*args):
        about = model / "recommender.json"
        about.write_text(about.read_text() + "\n")
        return recommended(*args)

    monkeypatch.setattr(shards, "_recommended", after_which_it_is_saved)
    with pytest.raises(UserError, match="model was saved anew meanwhile: delete .*recs"):
        write_shards(model, tmp_path / "recs", 7)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "has no ids"),
        ("u1\nnobody\nno one\n", "has 2 ids that are not users of the log"),
        (b"\xff\xfe", "is not UTF-8 text"),
    ],
)
def test_a_file_of_users_that_cannot_be_used(trained, tmp_path, lines, said):
    path = tmp_path / "users.txt"
    path.write_bytes(lines if isinstance(lines, bytes) else lines.encode())
    with pytest.raises(UserError, match=said):
        write_shards(trained[1], tmp_path / "recs", 3, path)


def test_a_folder_of_something_else(trained, tmp_path):
    _, folder = trained
    write_shards(folder, tmp_path / "recs", 5)
    with pytest.raises(UserError, match="another model, k or list of users"):
        write_shards(folder, tmp_path / "recs", 6)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(UserError, match="is not a folder of recommendations"):
        write_shards(folder, tmp_path / "other", 5)
    with pytest.raises(UserError, match="k is 61"):
        write_shards(folder, tmp_path / "new", 61)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_goes_on(trained, tmp_path, number):
    _, folder = trained
    out = tmp_path / "recs"
    command = ["-m", "tfrs_timirec.recommend", folder, "--out", out]
    process = Popen(command, stderr=subprocess.PIPE, text=True)
    while not out.exists() and process.poll() is None:
        time.sleep(0.001)
    working = not list(out.glob("part-*"))
    process.send_signal(number)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode in (130, 143) or not working
    if process.returncode:
        assert "Traceback" not in errors and "the same command" in errors
    done = run(command)
    assert done.returncode == 0, done.stderr
    assert "400 users" in done.stdout
    assert len(read(out)) == 4_000
