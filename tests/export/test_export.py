"""What the exported models answer, against the trained ones."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from export.publish import publish
from export.settings import ExportSettings
from tfrs_timirec.errors import UserError
from tfrs_timirec.training import checkpoint
from tfrs_timirec.training.run import Run
from tfrs_timirec.training.session import Session

SYSTEMS = ("timirec", "comirec", "tisasrec", "popularity")
LENGTH = 4
systems = pytest.mark.parametrize("system", SYSTEMS)
models = pytest.mark.parametrize("name", ["exact", "scann"])


@pytest.fixture(scope="module")
def trained(runs):
    """The session of each run, with the trained weights."""
    sessions = {}
    for system, folder in runs.items():
        run = Run(folder)
        session = sessions[system] = Session(run.settings())
        if session.model.phases():
            checkpoint.load(run.best(len(session.model.phases())), session.model.state)
    return sessions


@pytest.fixture(scope="module")
def signatures(exports):
    """The signatures of each exported model."""
    loaded = {
        (system, name): tf.saved_model.load(str(exports[system] / name / "1"))
        for system in SYSTEMS
        for name in ("exact", "scann")
    }
    # The functions do not keep alive what they read.
    yield {key: model.signatures for key, model in loaded.items()}


def histories(session, users):
    """Item indices, ids and times of some users, and the indices of the newest L."""
    store = session.store
    rows = [slice(store.offsets[user], store.offsets[user + 1]) for user in users]
    items = np.stack([store.items[row] for row in rows])
    ids = np.array(store.item_ids.to_pylist(), object)[items - 1]
    times = np.tile(np.arange(items.shape[1]), (len(users), 1))
    return items, ids, times


def tensors(session, ids, times=None):
    """The inputs of a signature for histories."""
    dtype = tf.string if isinstance(session.store.item_ids[0].as_py(), str) else tf.int64
    inputs = {"history": tf.constant(ids.tolist(), dtype)}
    if session.model.needs_times:
        inputs["times"] = tf.constant(times, tf.int64)
    return inputs


def recommend(signature, k, history, exclude=(("",),), **times):
    """The outputs; TensorFlow itself, unlike a server, does not fill in the defaults."""
    history = tf.convert_to_tensor(history)
    if history.dtype != tf.string and exclude == (("",),):
        exclude = [[-1]]
    return signature["recommend"](
        history=history, k=tf.constant(k), exclude=tf.constant(exclude, history.dtype), **times
    )


def true_scores(session, items, times):
    """The trained model's scores of the catalogue."""
    history = [items[:, -LENGTH:].astype(np.int32)]
    if session.model.needs_times:
        history.append(times[:, -LENGTH:])
    queries = np.asarray(session.model.query_vectors(*history))
    return np.einsum("bmd,id->bmi", queries, np.asarray(session.model.item_vectors())).max(axis=1)


@systems
@models
def test_scores_are_those_of_the_trained_model(trained, signatures, system, name):
    session = trained[system]
    items, ids, times = histories(session, range(20))
    expected = true_scores(session, items, times)
    catalogue = np.array([session.store.item_ids.to_pylist()] * 20, object)
    inputs = tensors(session, ids, times)
    candidates = tf.constant(catalogue.tolist(), inputs["history"].dtype)
    scores = signatures[system, name]["score"](**inputs, candidates=candidates)["scores"]
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)

    outputs = recommend(signatures[system, name], 20, **inputs)
    np.put_along_axis(expected, items - 1, -np.inf, axis=1)
    best = -np.sort(-expected, axis=1)[:, :20]
    found = {item: i for i, item in enumerate(session.store.item_ids.to_pylist())}
    answered = [
        [found[item.decode() if isinstance(item, bytes) else item] for item in row]
        for row in outputs["item_ids"].numpy().tolist()
    ]
    of_answered = np.take_along_axis(expected, np.array(answered), axis=1)
    np.testing.assert_allclose(outputs["scores"], of_answered, rtol=1e-5, atol=1e-5)
    assert all(len(set(row)) == 20 for row in answered)
    if name == "exact" or system != "comirec":
        np.testing.assert_allclose(outputs["scores"], best, rtol=1e-5, atol=1e-5)
    else:
        hits = np.isin(outputs["scores"].numpy().round(4), best.round(4)).mean()
        assert hits >= 0.8, "the index of 1,500 items finds most of the best"


@systems
def test_vectors_and_interest_weights(trained, signatures, system):
    session = trained[system]
    items, ids, times = histories(session, range(8))
    outputs = signatures[system, "exact"]["user_vectors"](**tensors(session, ids, times))
    history = [items[:, -LENGTH:].astype(np.int32)]
    if session.model.needs_times:
        history.append(times[:, -LENGTH:])
    queries, weights = session.model.queries_and_weights(*history)
    np.testing.assert_allclose(outputs["query_vectors"], queries, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(outputs["interest_weights"], weights, rtol=1e-5, atol=1e-6)
    many = {"timirec": (1, 2), "comirec": (2, 2)}.get(system, (1, 1))
    assert (outputs["query_vectors"].shape[1], outputs["interest_weights"].shape[1]) == many
    np.testing.assert_allclose(np.sum(outputs["interest_weights"], axis=1), 1, rtol=1e-5)


@models
@hypothesis_settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_unknown_ids_and_padding_are_dropped_wherever_they_are(signatures, name, data):
    known = data.draw(st.lists(st.integers(0, 59).map("i{}".format), max_size=7))
    mixed = list(known)
    for _ in range(data.draw(st.integers(0, 6))):
        place = data.draw(st.integers(0, len(mixed)))
        mixed.insert(place, data.draw(st.sampled_from(["", "unknown", "i60", "ü"])))
    plain, disturbed = (
        recommend(signatures["timirec", name], 6, tf.reshape(tf.constant(ids, tf.string), [1, -1]))
        for ids in (known, mixed)
    )
    assert plain["item_ids"].numpy().tolist() == disturbed["item_ids"].numpy().tolist()
    np.testing.assert_allclose(plain["scores"], disturbed["scores"], rtol=1e-5, atol=1e-6)
    assert not set(known) & {item.decode() for item in plain["item_ids"].numpy()[0]}


@systems
@models
def test_without_a_known_item_the_most_popular_come(trained, signatures, system, name):
    session = trained[system]
    counts = np.asarray(session.popularity().item_vectors())[:, 0]
    order = np.argsort(-counts, kind="stable")[:5]
    expected = np.array(session.store.item_ids.to_pylist(), object)[order].tolist()
    is_text = isinstance(expected[0], str)
    unknown = "nobody knows" if is_text else -17
    for row in ([], [unknown], [unknown] * 9):
        ids = np.array([row], object).reshape(1, len(row))
        outputs = signatures[system, name]["serving_default"](
            **tensors(session, ids, np.zeros(ids.shape))
        )
        answered = outputs["item_ids"].numpy()[0].tolist()
        assert [item.decode() if is_text else item for item in answered] == expected
        shares = (counts / counts.sum())[order]
        np.testing.assert_allclose(outputs["scores"][0], shares, rtol=1e-5)


def test_excluded_items_never_come(signatures):
    model = signatures["timirec", "exact"]
    history = [["i1", "i2"], ["i3", ""]]
    before = recommend(model, 60, history)["item_ids"].numpy()
    assert set(before[0]) == {f"i{i}".encode() for i in range(60) if i not in (1, 2)} | {b""}
    for exclude in ([["i7", "i8", "nothing"]], [["i7", "i8"], ["i8", "i7"]]):
        after = recommend(model, 60, history, exclude)
        for row_before, row_after in zip(before, after["item_ids"].numpy(), strict=True):
            wanted = [item for item in row_before if item not in (b"i7", b"i8", b"")]
            assert [item for item in row_after if item] == wanted
    scores = recommend(model, 60, history)["scores"].numpy()
    assert np.isneginf(scores[before == b""]).all()


def test_the_history_may_be_recommended_if_so_set(runs, tmp_path):
    publish(runs["popularity"], tmp_path, ExportSettings(k=60, exclude_history=False))
    model = tf.saved_model.load(str(tmp_path / "exact" / "1"))
    answered = model.signatures["serving_default"](history=tf.constant([["i1", "i2"]]))["item_ids"]
    assert set(answered.numpy()[0]) == {f"i{i}".encode() for i in range(60)}


def test_each_user_can_have_a_k_of_his_own(signatures):
    model, history = signatures["timirec", "exact"], [["i1", "i2"], ["i3", ""], ["", ""]]
    widest = recommend(model, 9, history)["item_ids"].numpy()
    answered = recommend(model, [2, 9, 1], history)["item_ids"].numpy()
    for k, all_of_them, row in zip([2, 9, 1], widest, answered, strict=True):
        assert row.tolist() == [*all_of_them[:k], *[b""] * (9 - k)]


@pytest.mark.parametrize("k", [0, -3, 61])
def test_k_out_of_range_is_refused_in_the_graph(signatures, k):
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"from 1 to 60.*{k}"):
        recommend(signatures["timirec", "exact"], k, [["i1"]])


def test_times_must_be_those_of_the_history(signatures):
    with pytest.raises(tf.errors.InvalidArgumentError, match="needs its time"):
        signatures["tisasrec", "exact"]["user_vectors"](
            history=tf.constant([["i1", "i2"]]), times=tf.constant([[1]], tf.int64)
        )


@models
def test_titles_ride_along(signatures, name):
    outputs = recommend(signatures["timirec", name], 60, [["i0"]])
    for item, title in zip(outputs["item_ids"][0], outputs["item_titles"][0], strict=True):
        number = item.numpy().decode()[1:]
        wanted = f"Item, number {number}" if number not in ("", "59") else ""
        assert title.numpy().decode() == wanted
    assert "item_titles" not in signatures["tisasrec", name]["recommend"].structured_outputs


@models
@pytest.mark.parametrize("system", ["timirec", "comirec"])
def test_a_process_with_only_tensorflow_and_scann(
    signatures, trained, exports, system, name, tmp_path
):
    session = trained[system]
    _, ids, _ = histories(session, [5, 6])
    given_to_it = {"history": ids.tolist(), "k": 7, "exclude": ids[:, :1].tolist()}
    script = Path(__file__).with_name("load_alone.py")
    done = subprocess.run(
        [sys.executable, script, exports[system] / name / "1", json.dumps(given_to_it)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    inputs = tensors(session, ids)
    expected = recommend(signatures[system, name], 7, exclude=ids[:, :1].tolist(), **inputs)
    answered = json.loads(done.stdout)
    assert answered.keys() == expected.keys()
    texts = [[str(v) for v in row] for row in answered["item_ids"]]
    here = expected["item_ids"].numpy().tolist()
    assert texts == [[v.decode() if isinstance(v, bytes) else str(v) for v in row] for row in here]
    np.testing.assert_allclose(answered["scores"], expected["scores"], rtol=1e-6)


def operations(folder: Path) -> set[str]:
    """The names of all operations of a SavedModel."""
    model = SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    graph = model.meta_graphs[0].graph_def
    nodes = [
        *graph.node,
        *(node for function in graph.library.function for node in function.node_def),
    ]
    return {node.op for node in nodes}


def test_only_the_scann_model_needs_scann(exports):
    stock = {name for name in dir(tf.raw_ops) if not name.startswith("_")}
    custom = {name for name in operations(exports["comirec"] / "scann" / "1") if "Scann" in name}
    assert custom, "the catalogue is large enough for an index"
    for system in SYSTEMS:
        plain = operations(exports[system] / "exact" / "1")
        assert not {name for name in plain if "Scann" in name}
        assert {name for name in plain if not name.startswith("_")} <= stock


@pytest.mark.parametrize("system", ["timirec", "tisasrec"])
def test_warm_up_requests_can_be_answered(exports, signatures, system):
    path = exports[system] / "exact" / "1" / "assets.extra" / "tf_serving_warmup_requests"
    seen = []
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        request = PredictionLog.FromString(record).predict_log.request
        assert request.model_spec.name == "exact"
        signature = request.model_spec.signature_name
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        outputs = signatures[system, "exact"][signature](
            **{name: tf.constant(value) for name, value in inputs.items()}
        )
        seen.append((signature, len(inputs["history"])))
        assert {len(tensor) for tensor in outputs.values()} == {len(inputs["history"])}
    assert sorted(set(seen)) == sorted(
        (signature, size)
        for signature in ("serving_default", "recommend", "user_vectors", "score", "diverse")
        for size in (1, 8, 64)
        if signature != "diverse" or system == "timirec"
    )


@models
def test_the_model_card_tells_the_metrics_and_the_signatures(exports, runs, name):
    card = (exports["timirec"] / name / "1" / "model_card.md").read_text()
    metrics = json.loads((runs["timirec"] / "metrics.json").read_text())["test"]["TiMiRec"]
    for value in metrics["sampled"].values():
        assert f"{value:.4f}" in card
    for text in ("`k` int32 [] or [?] (optional)", "`history` string [?, ?]", "num_interests: 2"):
        assert text in card


def test_saved_model_cli_runs_it(exports, signatures):
    done = subprocess.run(
        [
            Path(sys.executable).with_name("saved_model_cli"),
            *("run", "--dir", exports["timirec"] / "exact" / "1"),
            *("--tag_set", "serve", "--signature_def", "serving_default"),
            *("--input_exprs", 'history=[["i1", "i2"]]'),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answered = signatures["timirec", "exact"]["serving_default"](
        history=tf.constant([["i1", "i2"]])
    )
    best = answered["item_ids"].numpy()[0, 0]
    assert "Result for output key item_ids" in done.stdout and repr(best) in done.stdout


def test_versions_grow_together(runs, tmp_path):
    (tmp_path / "exact" / "7").mkdir(parents=True)
    (tmp_path / "exact" / "not a version").mkdir()
    folders, items = publish(runs["popularity"], tmp_path, ExportSettings(k=3))
    assert len(items) == 2
    assert folders == [tmp_path / "exact" / "8", tmp_path / "scann" / "8"]
    assert sorted(p.name for p in (tmp_path / "scann").iterdir()) == ["8"]


def copy(run: Path, to: Path) -> Path:
    """A copy of a run folder."""
    for path in run.rglob("*"):
        if path.is_file():
            target = to / path.relative_to(run)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return to


def not_finished(run):
    (run / "metrics.json").unlink()


def break_checkpoint(run):
    path = Run(run).best(2)
    path.write_bytes(path.read_bytes()[:-100])


def break_settings(run):
    (run / "settings.yaml").write_text("model:\n  num_interests: zero\n")


def remove_settings(run):
    (run / "settings.yaml").unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (not_finished, "not trained to its end"),
        (break_checkpoint, "phase2.npz is damaged"),
        (break_settings, "settings.yaml"),
        (remove_settings, "settings.yaml"),
    ],
)
def test_a_damaged_run_is_refused_and_nothing_is_written(runs, tmp_path, damage, said):
    run = copy(runs["timirec"], tmp_path / "run")
    damage(run)
    with pytest.raises(UserError, match=said):
        publish(run, tmp_path / "out", ExportSettings(k=5))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (ExportSettings(k=61), "k is 61, but the catalogue has 60 items"),
        (ExportSettings(k=5, titles="/absent.csv"), "/absent.csv"),
        (ExportSettings(k=5, titles_column="name"), "have no column name"),
        (ExportSettings(k=5, categories_column="kind"), "the column kind of no file"),
    ],
)
def test_settings_that_do_not_fit_are_refused(runs, titles, tmp_path, settings, said):
    if settings.titles is None and settings.titles_column != "title":
        settings.titles = str(titles)
    with pytest.raises(UserError, match=said):
        publish(runs["timirec"], tmp_path / "out", settings)
    assert not (tmp_path / "out").exists()


def test_the_command_answers_a_mistake_in_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "export", str(tmp_path / "absent"), "--out", str(tmp_path / "out")],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ") and "absent" in done.stderr
    assert not (tmp_path / "out").exists()
