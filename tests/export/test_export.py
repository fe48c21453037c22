"""What the exported models answer, against the recommenders themselves."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from tests.examples import examples
from tests.export.conftest import EXPORTED, Loaded
from tests.export.truth import truth
from tests.processes import PATIENCE, run
from tfrs_timirec.errors import UserError
from tfrs_timirec.export.publish import publish
from tfrs_timirec.export.settings import ExportSettings

LENGTH = 4
systems = pytest.mark.parametrize("system", EXPORTED)
each = pytest.mark.parametrize(
    ("system", "name"), [(system, name) for system in EXPORTED for name in EXPORTED[system]]
)
models = pytest.mark.parametrize("name", ["exact", "scann"])


def text(value):
    """An id as Python has it."""
    return value.decode() if isinstance(value, bytes) else value


def histories(recommender, users):
    """Item indices, ids and times of all that some users interacted with."""
    sequences = recommender.sequences
    rows = [slice(sequences.offsets[user], sequences.offsets[user + 1]) for user in users]
    items = np.stack([sequences.items[row] for row in rows])
    ids = np.array(sequences.item_ids.to_pylist(), object)[items - 1]
    return items, ids, np.tile(np.arange(items.shape[1]), (len(users), 1))


def inputs(recommender, ids, times):
    """What the tower takes, by name."""
    values = {"history": ids.tolist(), "times": times}
    return {tensor.name: values[tensor.name] for tensor in recommender.system.user_tower.inputs}


@each
def test_scores_are_those_of_the_trained_model(recommenders, loaded, system, name):
    recommender, model = recommenders[system], loaded[system, name]
    items, ids, times = histories(recommender, range(20))
    expected = truth(recommender, items[:, -LENGTH:], times[:, -LENGTH:]).scores
    catalogue = recommender.sequences.item_ids.to_pylist()
    history = inputs(recommender, ids, times)
    for candidates in ([catalogue], [catalogue] * 20):
        scores = model("score", **history, candidates=candidates)["scores"]
        np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)

    outputs = model(**history, k=20)
    np.put_along_axis(expected, items - 1, -np.inf, axis=1)
    best = -np.sort(-expected, axis=1)[:, :20]
    index = {item: i for i, item in enumerate(catalogue)}
    answered = [[index[text(item)] for item in row] for row in outputs["item_ids"].tolist()]
    of_answered = np.take_along_axis(expected, np.array(answered), axis=1)
    np.testing.assert_allclose(outputs["scores"], of_answered, rtol=1e-5, atol=1e-5)
    assert all(len(set(row)) == 20 for row in answered)
    if name == "exact" or system != "comirec":
        np.testing.assert_allclose(outputs["scores"], best, rtol=1e-5, atol=1e-5)
    else:
        order = np.argsort(-expected, axis=1)[:, :20]
        hits = [np.isin(found, true).mean() for found, true in zip(answered, order, strict=True)]
        assert np.mean(hits) >= 0.8, "the index of 1,500 items finds most of the best"


@systems
def test_vectors_and_interest_weights(recommenders, loaded, system):
    recommender = recommenders[system]
    items, ids, times = histories(recommender, range(8))
    outputs = loaded[system, "exact"]("user_vectors", **inputs(recommender, ids, times))
    expected = truth(recommender, items[:, -LENGTH:], times[:, -LENGTH:])
    np.testing.assert_allclose(outputs["query_vectors"], expected.queries, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(outputs["interests"], expected.interests, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(outputs["interest_weights"], expected.weights, rtol=1e-5, atol=1e-6)
    many = {"timirec": (1, 2), "comirec": (2, 2)}.get(system, (1, 1))
    assert (outputs["query_vectors"].shape[1], outputs["interest_weights"].shape[1]) == many
    np.testing.assert_allclose(np.sum(outputs["interest_weights"], axis=1), 1, rtol=1e-5)


@models
@examples(25)
@given(data=st.data())
def test_unknown_ids_and_padding_are_dropped_wherever_they_are(loaded, name, data):
    known = data.draw(st.lists(st.integers(0, 59).map("i{}".format), max_size=7))
    mixed = list(known)
    for _ in range(data.draw(st.integers(0, 6))):
        place = data.draw(st.integers(0, len(mixed)))
        mixed.insert(place, data.draw(st.sampled_from(["", "unknown", "i60", "ü"])))
    plain, disturbed = (
        loaded["timirec", name](history=np.array([ids], object).reshape(1, -1), k=6)
        for ids in (known, mixed)
    )
    assert plain["item_ids"].tolist() == disturbed["item_ids"].tolist()
    np.testing.assert_allclose(plain["scores"], disturbed["scores"], rtol=1e-5, atol=1e-6)
    assert not set(known) & {item.decode() for item in plain["item_ids"][0]}


@each
def test_without_a_known_item_the_most_popular_come(recommenders, loaded, system, name):
    recommender, model = recommenders[system], loaded[system, name]
    counts = recommender.counts
    order = np.argsort(-counts, kind="stable")
    popular = np.array(recommender.sequences.item_ids.to_pylist(), object)[order].tolist()
    unknown = "nobody knows" if isinstance(popular[0], str) else -17
    for row in ([], [unknown], [unknown] * 9):
        ids = np.array([row], object).reshape(1, len(row))
        history = inputs(recommender, ids, np.zeros(ids.shape))
        outputs = model("serving_default", **history)
        assert [*map(text, outputs["item_ids"][0].tolist())] == popular[:5]
        np.testing.assert_allclose(outputs["scores"][0], (counts / counts.sum())[order[:5]], 1e-5)
        among = [[popular[9], unknown, popular[3], popular[2], popular[3]]]
        outputs = model("explain", **history, among=among, exclude=[popular[2:3]], k=2)
        assert [*map(text, outputs["item_ids"][0].tolist())] == [popular[3], popular[9]]
        assert (outputs["item_interests"] == -1).all() and (outputs["attention"] == 0).all()


def test_excluded_items_never_come(loaded):
    model = loaded["timirec", "exact"]
    history = [["i1", "i2"], ["i3", ""]]
    before = model(history=history, k=60)
    ids = before["item_ids"]
    assert set(ids[0]) == {f"i{i}".encode() for i in range(60) if i not in (1, 2)} | {b""}
    for exclude in ([["i7", "i8", "nothing"]], [["i7", "i8"], ["i8", "i7"]]):
        after = model(history=history, k=60, exclude=exclude)["item_ids"]
        for row_before, row_after in zip(ids, after, strict=True):
            wanted = [item for item in row_before if item not in (b"i7", b"i8", b"")]
            assert [item for item in row_after if item] == wanted
    assert np.isneginf(before["scores"][ids == b""]).all()


def test_the_history_may_be_recommended_if_so_set(recommenders, tmp_path):
    publish(recommenders["popularity"], tmp_path, ExportSettings(k=60, exclude_history=False))
    model = Loaded(tmp_path / "exact" / "1")
    answered = model("serving_default", history=[["i1", "i2"]])["item_ids"]
    assert set(answered[0]) == {f"i{i}".encode() for i in range(60)}


def test_each_user_can_have_a_k_of_his_own(loaded):
    model, history = loaded["timirec", "exact"], [["i1", "i2"], ["i3", ""], ["", ""]]
    widest = model(history=history, k=9)["item_ids"]
    answered = model(history=history, k=[2, 9, 1])["item_ids"]
    for k, all_of_them, row in zip([2, 9, 1], widest, answered, strict=True):
        assert row.tolist() == [*all_of_them[:k], *[b""] * (9 - k)]


@pytest.mark.parametrize("k", [0, -3, 61])
def test_k_out_of_range_is_refused_in_the_graph(loaded, k):
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"from 1 to 60.*{k}"):
        loaded["timirec", "exact"](history=[["i1"]], k=k)


def test_times_must_be_those_of_the_history(loaded):
    with pytest.raises(tf.errors.InvalidArgumentError, match="needs its time"):
        loaded["tisasrec", "exact"]("user_vectors", history=[["i1", "i2"]], times=[[1]])


@models
def test_titles_ride_along(loaded, name):
    outputs = loaded["timirec", name](history=[["i0"]], k=60)
    for item, title in zip(outputs["item_ids"][0], outputs["item_titles"][0], strict=True):
        number = item.decode()[1:]
        wanted = f"Item, number {number}" if number not in ("", "59") else ""
        assert title.decode() == wanted
    assert "item_titles" not in loaded["tisasrec", "exact"].definitions["recommend"].outputs


@pytest.mark.long
def test_a_process_with_only_tensorflow_and_scann(loaded, recommenders, exports, tmp_path):
    asked, expected = [], []
    for system in ("timirec", "comirec"):
        _, ids, _ = histories(recommenders[system], [5, 6])
        ids = ids.tolist()
        given_to_it = {
            "history": ids,
            "k": 7,
            "exclude": [row[:1] for row in ids],
            "among": [ids[0] + ids[1]],
            "interest_weights": [[1, 2]],
        }
        for name in ("exact", "scann"):
            asked += [exports[system] / name / "1", json.dumps(given_to_it)]
            expected.append(loaded[system, name](**given_to_it))
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("load_alone.py"), *asked],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    for answer, outputs in zip(json.loads(done.stdout), expected, strict=True):
        assert answer.keys() == outputs.keys()
        here = [[*map(text, row)] for row in outputs["item_ids"].tolist()]
        assert answer["item_ids"] == here
        np.testing.assert_allclose(answer["scores"], outputs["scores"], rtol=1e-6)


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
    for system in EXPORTED:
        plain = operations(exports[system] / "exact" / "1")
        assert not {name for name in plain if "Scann" in name}
        assert {name for name in plain if not name.startswith("_")} <= stock


@pytest.mark.parametrize("system", ["timirec", "tisasrec"])
def test_warm_up_requests_can_be_answered(exports, loaded, system):
    path = exports[system] / "exact" / "1" / "assets.extra" / "tf_serving_warmup_requests"
    seen = []
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        request = PredictionLog.FromString(record).predict_log.request
        assert request.model_spec.name == "exact"
        signature = request.model_spec.signature_name
        given_to_it = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        assert given_to_it.keys() == loaded[system, "exact"].definitions[signature].inputs.keys()
        outputs = loaded[system, "exact"](signature, **given_to_it)
        seen.append((signature, len(given_to_it["history"])))
        assert {len(array) for array in outputs.values()} == {len(given_to_it["history"])}
    assert ("diverse", 64) in seen or system == "tisasrec"
    assert sorted(set(seen)) == sorted(
        (signature, size)
        for signature in loaded[system, "exact"].definitions
        for size in (1, 8, 64)
    )


@models
def test_the_model_card_tells_the_metrics_and_the_signatures(exports, recommenders, name):
    card = (exports["timirec"] / name / "1" / "model_card.md").read_text()
    recommender = recommenders["timirec"]
    for value in recommender.metrics["test"][recommender.system.title]["sampled"].values():
        assert f"{value:.4f}" in card
    for text in (
        f"# {recommender.system.title} for {recommender.settings.data.source}",
        "`k` int32 [] or [?] (optional)",
        "`history` string [?, ?]",
        "`interest_weights` float32 [?, 2] (optional)",
        "num_interests: 2",
    ):
        assert text in card


@pytest.mark.long
def test_saved_model_cli_runs_it(exports, loaded):
    done = subprocess.run(
        [
            Path(sys.executable).with_name("saved_model_cli"),
            *("run", "--dir", exports["timirec"] / "exact" / "1"),
            *("--tag_set", "serve", "--signature_def", "serving_default"),
            *("--input_exprs", 'history=[["i1", "i2"]]'),
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    answered = loaded["timirec", "exact"]("serving_default", history=[["i1", "i2"]])
    best = answered["item_ids"][0, 0]
    assert "Result for output key item_ids" in done.stdout and repr(best) in done.stdout


def test_versions_grow_together(recommenders, tmp_path):
    (tmp_path / "exact" / "7").mkdir(parents=True)
    (tmp_path / "exact" / "not a version").mkdir()
    folders, items = publish(recommenders["popularity"], tmp_path, ExportSettings(k=3))
    assert len(items) == 2
    assert folders == [tmp_path / "exact" / "8", tmp_path / "scann" / "8"]
    assert sorted(p.name for p in (tmp_path / "scann").iterdir()) == ["8"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (ExportSettings(k=61), "k is 61, but the catalogue has 60 items"),
        (ExportSettings(k=5, leaves=61), "leaves is 61, but the catalogue has 60 items"),
        (ExportSettings(k=5, titles="/absent.csv"), "/absent.csv"),
        (ExportSettings(k=5, titles_column="name"), "have no column name"),
        (ExportSettings(k=5, categories_column="kind"), "the column kind of no file"),
    ],
)
def test_settings_that_do_not_fit_are_refused(recommenders, titles, tmp_path, settings, said):
    if settings.titles is None and settings.titles_column != "title":
        settings.titles = str(titles)
    with pytest.raises(UserError, match=said):
        publish(recommenders["timirec"], tmp_path / "out", settings)
    assert not (tmp_path / "out").exists()


def test_the_command_answers_a_mistake_in_one_line(tmp_path):
    done = run(["-m", "tfrs_timirec.export", "absent", "--out", "out"], cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ") and "absent" in done.stderr
    assert not (tmp_path / "out").exists()
