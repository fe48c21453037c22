"""`python -m tfrs_timirec.recommend --engine spark`: the same files as in process."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tfrs_timirec import UserError, shards
from tfrs_timirec.data.engines import spark
from tfrs_timirec.shards import write_shards

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def trained(log, tmp_path_factory):
    """The folder of a recommender that has seen one epoch, its sequences in three shards."""
    pytest.importorskip("pyspark", reason="pyspark is not installed: pip install '.[spark]'")
    if not shutil.which("java"):
        pytest.skip("there is no java here: install Java 17")
    from tfrs_timirec import Recommender

    model = Recommender(
        system="youtube_dnn",
        embedding_size=16,
        history_length=4,
        max_epochs=1,
        negatives=30,
        shard_size=1_700,
        folder=str(tmp_path_factory.mktemp("data")),
    )
    model.fit(str(log), silent=True)
    assert model.sequences.num_parts == 3
    folder = tmp_path_factory.mktemp("model") / "model"
    model.save(folder)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_as_in_process_and_resumable(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "USERS_A_SHARD", 100)
    users = write_shards(trained, tmp_path / "process", 7)
    assert write_shards(trained, tmp_path / "spark", 7, engine="spark", master="local[2]") == users
    expected = files(tmp_path / "process")
    assert len(expected) == 7
    assert files(tmp_path / "spark") == expected

    (tmp_path / "spark" / "part-00002.parquet").unlink()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "spark").iterdir()}
    with spark.session("local[2]", tmp_path):
        assert write_shards(trained, tmp_path / "spark", 7, engine="spark") == users
        (tmp_path / "users.txt").write_text("u3\nu399\nnobody\n")
        with pytest.raises(UserError, match="has 1 ids that are not users of the log"):
            write_shards(trained, tmp_path / "some", 3, tmp_path / "users.txt", engine="spark")
    assert files(tmp_path / "spark") == expected
    assert (
        before.items()
        <= {path: path.stat().st_mtime_ns for path in (tmp_path / "spark").iterdir()}.items()
    )
    assert len(list((tmp_path / "some").glob("part-*.parquet"))) == 2


@pytest.mark.parametrize("damage", ["lost", "another"])
def test_a_shard_that_is_lost_or_of_another_preparation(trained, tmp_path, damage):
    model = tmp_path / "model"
    shutil.copytree(trained, model)
    shard = model / "sequences" / "interactions-00001.parquet"
    if damage == "lost":
        shard.unlink()
    else:
        shutil.copy(model / "sequences" / "interactions-00000.parquet", shard)
    with pytest.raises(UserError, match="interactions-00001.parquet is missing or damaged"):
        write_shards(model, tmp_path / "out", 3, engine="spark", master="local[2]")
    assert not (tmp_path / "out").exists()


def test_without_java(trained, tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tfrs_timirec.recommend", str(trained)),
            *("--out", str(tmp_path / "out"), "--engine=spark"),
        ],
        cwd=Path(__file__).parents[1],
        env=os.environ | {"JAVA_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: Spark needs Java 17 or newer, and ")
    assert not list((tmp_path / "out").glob("part-*"))
