"""A saved recommender is whole, needs nothing else, and is replaced or left."""

import json
import os
import resource
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.processes import run
from tfrs_timirec import Recommender, UserError
from tfrs_timirec.models.systems import SYSTEMS

QUESTION = {
    "histories": [["i1", "i2", "i4"], ["i7"], []],
    "times": [[1, 2, 5], [3], []],
    "k": 5,
    "unknown": "popular",
}
USERS = {"users": ["u1", "nobody"], "k": 5, "unknown": "popular"}


@contextmanager
def hidden(folder: Path):
    """The folder is not where it was."""
    elsewhere = folder.rename(folder.with_name("elsewhere"))
    try:
        yield
    finally:
        elsewhere.rename(folder)


@pytest.mark.long
def test_every_system_answers_alike_in_a_fresh_process(systems, tmp_path):
    saved = tmp_path / "saved"
    expected = {}
    for name in SYSTEMS:
        model = systems[name].recommender
        model.save(saved / name)
        asked = dict(QUESTION)
        if "times" not in model.system.tower_inputs:
            del asked["times"]
        expected[name] = [model.recommend(**asked), model.recommend(**USERS)]
    script = Path(__file__).with_name("load_all.py")
    with hidden(systems.folder):
        done = run([script, saved, json.dumps(QUESTION)], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.keys() == expected.keys()
    for name, (of_histories, of_users) in expected.items():
        whole, without_users = found[name]["True"], found[name]["False"]
        tables = [
            (whole[0], of_histories),
            (whole[1], of_users),
            (without_users[0], of_histories),
        ]
        for table, table_expected in tables:
            table = pd.DataFrame(table)
            pd.testing.assert_frame_equal(
                table.drop(columns="score"), table_expected.drop(columns="score")
            )
            np.testing.assert_allclose(table["score"], table_expected["score"], atol=1e-5)


def test_without_users_it_recommends_to_histories_alone(model, saved, frame, tmp_path):
    loaded = Recommender.load(saved, with_users=False)
    assert loaded.sequences.num_users == 0
    asked = {"histories": [["s-1", "s-2"]], "k": 5}
    pd.testing.assert_frame_equal(loaded.recommend(**asked), model.recommend(**asked))
    for refused in (
        lambda: loaded.recommend(users=["c-1"], unknown="popular"),
        lambda: loaded.explain(users=["c-1"]),
        lambda: loaded.update(frame, silent=True),
        lambda: loaded.refit(silent=True),
        lambda: loaded.evaluate(),
        lambda: loaded.save(tmp_path / "model"),
    ):
        with pytest.raises(UserError, match="users were left out by load"):
            refused()
    assert not list(tmp_path.iterdir())


def test_the_working_directory_may_be_one(model, saved, monkeypatch):
    monkeypatch.chdir(saved)
    assert Recommender.load(".").settings == model.settings


def test_all_that_is_known_is_kept(model, saved):
    loaded = Recommender.load(saved)
    assert loaded.settings == model.settings
    assert (loaded.metrics, loaded.epochs) == (model.metrics, model.epochs)
    assert loaded.sequences.digest == model.sequences.digest
    assert loaded.sequences.user_ids == model.sequences.user_ids
    np.testing.assert_array_equal(loaded.counts, model.counts)
    np.testing.assert_array_equal(loaded.item_vectors(), model.item_vectors())


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def files_of_at_most(size: int):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 600, 3000, 30_000])
def test_a_save_that_fails_leaves_what_was_there(model, tmp_path, size):
    folder = tmp_path / "model"
    model.save(folder)
    before = contents(folder)
    assert max(map(len, before.values())) > size
    with files_of_at_most(size), pytest.raises(UserError, match="model cannot be written"):
        model.save(folder)
    assert contents(folder) == before
    assert list(tmp_path.iterdir()) == [folder]
    assert len(Recommender.load(folder).recommend(users=["c-1"], k=3)) == 3


def test_a_save_that_cannot_be_put_in_place_leaves_what_was_there(model, tmp_path, monkeypatch):
    folder = tmp_path / "model"
    model.save(folder)
    before = contents(folder)
    replace = os.replace

    def refused(source, target):
        if Path(source).name == "new":
            raise OSError("no")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(UserError, match=r"model cannot be written \(no\)"):
        model.save(folder)
    assert contents(folder) == before
    assert list(tmp_path.iterdir()) == [folder]


def test_a_newer_one_takes_the_whole_place(model, frame, columns, tmp_path):
    folder = tmp_path / "model"
    Recommender("popularity", core=1, negatives=20).fit(frame, **columns, silent=True).save(folder)
    (folder / "notes.txt").write_text("old")
    model.save(folder)
    assert not (folder / "notes.txt").exists()
    assert list(tmp_path.iterdir()) == [folder]
    loaded = Recommender.load(folder)
    assert loaded.settings == model.settings
    asked = {"users": ["c-1"], "k": 5}
    pd.testing.assert_frame_equal(loaded.recommend(**asked), model.recommend(**asked))
