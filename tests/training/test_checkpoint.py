import os
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.processes import run
from tfrs_timirec.errors import UserError
from tfrs_timirec.training import checkpoint
from tfrs_timirec.training.progress import Progress

PROGRESS = {"phase": 2, "best": 0.25, "log": [{"phase": 1, "epoch": 1, "metric": 0.1}]}


def _variables(seed=0, rows=3):
    rng = np.random.default_rng(seed)
    return {
        "items/embeddings": keras.Variable(rng.normal(size=(rows, 2)).astype("float32")),
        "extractor/heads/bias": keras.Variable(rng.normal(size=4).astype("float32")),
        "predictor/seed_0": keras.Variable(
            rng.integers(2**32, size=2, dtype=np.uint32), dtype="uint32", trainable=False
        ),
        "adam/iteration": keras.Variable(rng.integers(99), dtype="int32", trainable=False),
    }


def _values(variables):
    return {name: np.array(variable.value) for name, variable in variables.items()}


def _same(variables, values):
    return all(
        np.array(variable.value).tobytes() == values[name].tobytes()
        for name, variable in variables.items()
    )


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "last.npz"
    checkpoint.save(path, _variables(), PROGRESS)
    return path


def _is_refused(path, variables, match):
    values = _values(variables)
    with pytest.raises(UserError, match=match) as error:
        checkpoint.load(path, variables)
    assert str(path) in str(error.value)
    assert _same(variables, values)


def test_what_is_saved_is_loaded(path):
    saved, variables = _values(_variables()), _variables(seed=1)
    assert not _same(variables, saved)
    checkpoint.load(path, variables)
    assert _same(variables, saved)
    assert checkpoint.load_progress(path) == Progress(**PROGRESS)
    assert os.listdir(path.parent) == [path.name]


def test_the_newest_save_counts(path):
    checkpoint.save(path, _variables(seed=1), {"phase": 3})
    variables = _variables()
    checkpoint.load(path, variables)
    assert _same(variables, _values(_variables(seed=1)))
    assert checkpoint.load_progress(path) == Progress(phase=3)


def test_an_absent_file_is_told(tmp_path):
    _is_refused(tmp_path / "no.npz", _variables(), "does not exist: train the run first")
    with pytest.raises(UserError, match="does not exist"):
        checkpoint.load_progress(tmp_path / "no.npz")


def test_another_model_is_told(path):
    of_another = "is of another model or another catalogue"
    _is_refused(path, _variables(seed=1, rows=4), of_another)
    fewer, more, renamed = _variables(seed=1), _variables(seed=1), _variables(seed=1)
    fewer.pop("adam/iteration")
    more["more"] = keras.Variable(np.zeros(1))
    renamed["items2/embeddings"] = renamed.pop("items/embeddings")
    for variables in (fewer, more, renamed):
        _is_refused(path, variables, of_another)


def test_a_truncated_file_is_told(path):
    whole, variables = path.read_bytes(), _variables(seed=1)
    for length in [*range(0, len(whole), 37), len(whole) - 1]:
        path.write_bytes(whole[:length])
        _is_refused(path, variables, "is damaged")
        with pytest.raises(UserError, match="is damaged"):
            checkpoint.load_progress(path)


@pytest.mark.long
@pytest.mark.parametrize("flip", [1, 128, 255])
def test_a_flipped_byte_is_told_or_without_effect(path, flip):
    whole, variables, saved = path.read_bytes(), _variables(seed=1), _values(_variables())
    before, escaped, refused = _values(variables), {}, 0
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= flip
        path.write_bytes(damaged)
        try:
            checkpoint.load(path, variables)
        except UserError:
            refused += 1
            assert _same(variables, before)
        except Exception as error:
            escaped[position] = repr(error)
        else:
            assert _same(variables, saved)
            for name, variable in variables.items():
                variable.assign(before[name])
    assert escaped == {}
    assert refused > len(whole) / 2


@pytest.mark.parametrize("write", [np.save, np.savez], ids=["npy", "npz"])
def test_a_file_of_another_program_is_told(path, write):
    with open(path, "wb") as file:
        write(file, np.zeros(3))
    _is_refused(path, _variables(), "is damaged|of another model")
    with pytest.raises(UserError):
        checkpoint.load_progress(path)


@pytest.mark.parametrize("limit", [0, 1000, 150_000])
def test_a_write_that_fails_leaves_the_file_that_was_there(path, limit):
    before = path.read_bytes()
    script = Path(__file__).with_name("write_limited.py")
    done = run([script, path, limit])
    told = f"told: {path} cannot be written (File too large): what was there before is intact"
    assert done.returncode == 1 and done.stderr.startswith(told)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


ROW = {"phase": 1, "epoch": 1, "metric": 0.5}
WRONG = [
    [],
    7,
    "phase",
    None,
    {"fase": 1},
    {"phase": "1"},
    {"phase": -1},
    {"epoch": 1.5},
    {"epoch": 1, "log": []},
    {"step": True},
    {"declines": None},
    {"best": "high"},
    {"loss_sum": [1]},
    {"log": 3},
    {"log": [3]},
    {"log": [{}]},
    {"log": {"phase": 1}},
    {"log": [ROW, {**ROW, "loss": 1.0}]},
    {"log": [{**ROW, "metric": "good"}]},
]


@pytest.mark.parametrize("progress", WRONG, ids=repr)
def test_a_progress_of_a_wrong_type_is_told(path, progress):
    checkpoint.save(path, _variables(), progress)
    with pytest.raises(UserError, match=r"last.npz is damaged \(.*\): restore") as error:
        checkpoint.load_progress(path)
    assert "\n" not in str(error.value)
