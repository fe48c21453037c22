"""A mistake is one UserError in one sentence, and changes nothing."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from tfrs_timirec import Recommender, UserError
from tfrs_timirec.config import DataSettings

# What takes a newer log, once there is a model.
LATER = ("update", "evaluate")


def answers(model):
    explained = model.explain(histories=[["s-1", "s-2"]], k=5)
    return [
        model.recommend(users=["c-1", "c-2"], k=5),
        model.recommend(users=["nobody"], k=5, unknown="popular"),
        *vars(explained).values(),
        model.similar_items(["s-1"], k=5),
    ]


@pytest.fixture(scope="module")
def before(model):
    """What the model answers before any mistake."""
    return answers(model)


@pytest.fixture
def fails(model, before):
    """Calls, expects one sentence, and returns it; in the end the model answers as before."""
    settings = model.settings
    metrics, epochs = json.dumps(model.metrics), list(model.epochs)

    def fails(call, *args, **kwargs) -> str:
        with pytest.raises(UserError) as error:
            call(*args, **kwargs)
        assert isinstance(error.value, ValueError)
        told = str(error.value)
        assert told.endswith((".", "?")) and "\n" not in told
        assert not re.search(r"[.!?] [A-Z]", told), told
        assert model.settings == settings
        assert (json.dumps(model.metrics), model.epochs) == (metrics, epochs)
        return told

    yield fails
    for expected, found in zip(before, answers(model), strict=True):
        pd.testing.assert_frame_equal(found, expected)


def mixed(values, value):
    changed = values.astype(object)
    changed.iloc[3] = value
    return changed


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda log: log.drop(columns="customer"), "no column customer"),
        (lambda log: log.drop(columns="sku"), "no column sku"),
        (lambda log: log.drop(columns="bought_at"), "no column bought_at"),
        (lambda log: log.assign(customer=mixed(log["customer"], None)), "Row 4 .* customer"),
        (lambda log: log.assign(sku=mixed(log["sku"], None)), "Row 4 .* sku"),
        (lambda log: log.assign(sku=mixed(log["sku"], 7)), "column sku .* mixes str with int"),
        (
            lambda log: log.assign(bought_at=mixed(log["bought_at"], "yesterday")),
            "column bought_at .* mixes int with str .row 4 has 'yesterday'",
        ),
        (
            lambda log: log.assign(bought_at=mixed(log["bought_at"], pd.Timestamp("2024-05-31"))),
            "column bought_at .* mixes int with Timestamp",
        ),
        (lambda log: log.assign(bought_at=mixed(log["bought_at"], None)), "Row 4 .* bought_at"),
        (lambda log: log.iloc[:0], "holds no interactions"),
        (lambda log: log.iloc[:2], "lower data.core"),
        (lambda log: log.to_dict("records"), "The log is a list"),
        (lambda log: log.to_numpy(), "The log is a ndarray"),
        (lambda log: 7, "The log is a int"),
        (lambda log: log["sku"], "Series is no table"),
        (lambda log: "nowhere.csv", "No file is at nowhere.csv"),
    ],
)
@pytest.mark.parametrize(
    "method", ["fit", *(pytest.param(name, marks=pytest.mark.long) for name in LATER)]
)
def test_a_log_that_cannot_be_used(fails, model, frame, columns, change, said, method):
    named = columns if method == "fit" else {}
    assert re.search(said, fails(getattr(model, method), change(frame), **named))


def test_one_column_of_users_and_items(fails, model, frame, columns):
    named = {**columns, "item": columns["user"]}
    assert "The column customer is named for both users and items" in fails(
        model.fit, frame, **named
    )


@pytest.mark.parametrize("method", LATER)
def test_a_newer_log_that_cannot_be_used(fails, model, frame, method):
    log = frame.drop(columns="customer")
    assert "no column customer" in fails(getattr(model, method), log)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"titles": "kinds.csv"}, "evaluation.categories_column .* set both, or neither"),
        ({"categories_column": "kind"}, "evaluation.titles .* set both, or neither"),
        ({"titles": "nowhere.csv", "categories_column": "kind"}, "nowhere.csv cannot be read"),
        ({"titles": "kinds.csv", "categories_column": "genre"}, "no column genre; .* sku, kind"),
        (
            {"titles": "kinds.csv", "categories_column": "kind"},
            "column kind of kinds.csv says nothing .* is sku the column",
        ),
        ({"titles": 7, "categories_column": "kind"}, "titles"),
    ],
)
def test_categories_that_cannot_be_used(fails, model, tmp_path, monkeypatch, named, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kinds.csv").write_text("sku,kind\ns-1000,tea\n")
    assert re.search(said, fails(model.evaluate, titles_id_column="sku", **named))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda log: log[log["customer"] != "c-5"], "lacks 1 users .* 'c-5'"),
        (lambda log: log[log["sku"] != "s-5"], "lacks 1 items .* 's-5'"),
        (lambda log: log.drop(index=[7]), "lacks interactions of the user 'c-0'"),
        (
            lambda log: log.assign(sku=log["sku"].str[2:].astype(int)),
            "ids of the items are int64 .* string",
        ),
    ],
)
def test_an_update_that_lacks_what_was_there(fails, model, frame, change, said):
    assert re.search(said, fails(model.update, change(frame), silent=True))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"users": ["x", "c-1", "y", "z", "w"]}, "no user 'x', 'y', 'z', … in the log"),
        ({"histories": [["s-1", "what"], ["else"]]}, "no item 'what', 'else' in the log"),
        ({"users": []}, "users is empty"),
        ({"users": pd.Series([], dtype=str)}, "users is empty"),
        ({"histories": []}, "histories is empty"),
        ({"histories": [["s-1"], []]}, "History 1 is empty"),
        ({"histories": ["s-1", "s-2"]}, "histories has 's-1' where a list belongs: give a list"),
        ({"histories": [7]}, "histories has 7 where a list belongs"),
        ({"histories": 7}, "histories has 7 where a list belongs"),
        ({"histories": [["s-1"]], "times": [3]}, "times has 3 where a list belongs"),
        ({"users": ["c-1"], "times": [[3]]}, "leave them out beside users"),
        ({"users": ["c-1"], "exclude": 7}, "^A list of ids is needed, but 7 is given"),
        ({"users": "c-1"}, "'c-1' is given: give a list"),
        ({"users": 7}, "7 is given: give a list"),
        ({"users": [1, 2]}, "ids of users are strings"),
        ({"users": ["c-1", None]}, "^The list of ids has a null .row 2"),
        ({"users": ["c-1", 2]}, "mixes str with int"),
        ({"users": [1.5]}, "give integers or strings"),
        ({"users": ["c-1"], "k": 0}, "k is 0: give a whole number from 1 to 40"),
        ({"users": ["c-1"], "k": -1}, "k is -1"),
        ({"users": ["c-1"], "k": 41}, "k is 41"),
        ({"users": ["c-1"], "k": 2.0}, "k is 2.0"),
        ({"users": ["c-1"], "k": "3"}, "k is 3"),
        ({"users": ["c-1"], "k": None}, "k is None"),
        ({"users": ["c-1"], "k": True}, "k is True"),
        ({"users": ["c-1"], "among": ["what", "else"]}, "Nothing in among is an item"),
        ({"users": ["c-1"], "among": []}, "among is empty"),
        ({"users": ["c-1"], "among": [1]}, "ids of items are strings"),
        ({"users": ["c-1"], "exclude": [1]}, "ids of items are strings"),
        ({"users": ["c-1"], "unknown": "ignore"}, "unknown is 'ignore'"),
        ({"users": ["x"], "unknown": "skip"}, "Nobody who was asked for is known"),
        ({"histories": [["what"]], "unknown": "skip"}, "Nobody who was asked for is known"),
        ({"users": ["c-1"], "histories": [["s-1"]]}, "either users or histories"),
        ({}, "either users or histories"),
        ({"histories": [["s-1"]], "times": [[1, 2]]}, "differ in length"),
    ],
)
def test_a_question_that_has_no_answer(fails, model, asked, said):
    for call in (model.recommend, model.explain):
        assert re.search(said, fails(call, **asked))


@pytest.mark.parametrize(
    ("items", "k", "said"),
    [
        (["x", "s-1", "y"], 3, "no item 'x', 'y' in the log"),
        ([], 3, "items is empty"),
        ([1], 3, "ids of items are strings"),
        (["s-1"], 0, "k is 0: give a whole number from 1 to 39"),
        (["s-1"], 40, "k is 40"),
        (["s-1"], 1.0, "k is 1.0"),
    ],
)
def test_similar_items_that_are_none(fails, model, items, k, said):
    assert said in fails(model.similar_items, items, k)


@pytest.mark.parametrize(
    "call",
    [
        lambda model, tmp_path: model.recommend(users=["c-1"]),
        lambda model, tmp_path: model.recommend(histories=[["s-1"]]),
        lambda model, tmp_path: model.explain(users=["c-1"]),
        lambda model, tmp_path: model.similar_items(["s-1"]),
        lambda model, tmp_path: model.evaluate(),
        lambda model, tmp_path: model.update(pd.DataFrame()),
        lambda model, tmp_path: model.refit(),
        lambda model, tmp_path: model.save(tmp_path / "model"),
        lambda model, tmp_path: model.export(tmp_path / "models"),
        lambda model, tmp_path: model.item_vectors(),
        lambda model, tmp_path: model.best(None, 3),
        lambda model, tmp_path: model.system,
        lambda model, tmp_path: model.sequences,
        lambda model, tmp_path: model.counts,
    ],
)
def test_before_it_is_fitted(fails, call, tmp_path):
    assert "not trained yet: call fit first" in fails(call, Recommender(), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("system", "settings", "said"),
    [
        ("timirec", {"interests": 4}, "no setting interests"),
        ("timirec", {"num_interest": 4}, "no setting num_interest; did you mean num_interests?"),
        ("timirec", {"num_interests": 0}, "num_interests"),
        ("timirec", {"learning_rate": "fast"}, "learning_rate"),
        ("timirec", {"split": "random"}, "split"),
        ("gru4rec", {"num_interests": 4}, "the system gru4rec has no such setting"),
        ("caser", {}, "not a system: set it to one of popularity"),
        (None, {}, "not a system"),
    ],
)
def test_settings(fails, system, settings, said):
    assert said in fails(Recommender, system, **settings)


def test_a_setting_of_the_export_that_is_none(fails, model, tmp_path):
    said = "no setting targets_recall; did you mean target_recall?"
    assert said in fails(model.export, tmp_path / "models", targets_recall=0.9)
    assert not list(tmp_path.iterdir())


def test_a_config_that_is_none(fails, tmp_path):
    assert "does not exist" in fails(Recommender.from_config, tmp_path / "no.yaml")
    (tmp_path / "bad.yaml").write_text("model: [")
    assert "is damaged" in fails(Recommender.from_config, tmp_path / "bad.yaml")


def test_times_for_a_system_that_reads_them(fails, frame, columns, tiny, eagerly):
    with eagerly():
        of_times = Recommender("tisasrec", **{**tiny, "max_epochs": 1})
        of_times.fit(frame, **columns, silent=True)
    for ask in (of_times.recommend, of_times.explain):
        asked = {"histories": [["s-1", "s-2"], ["s-3"]], "k": 3}
        assert "tisasrec reads times: give" in fails(ask, **asked)
        assert "differ in length" in fails(ask, **asked, times=[[1, 2]])
        assert "differ in length" in fails(ask, **asked, times=[[1], [2]])
        for wrong in ("noon", 1.5, np.datetime64("2024-05-31")):
            assert "not all whole numbers" in fails(ask, **asked, times=[[wrong, 2], [3]])
        ask(**asked, times=[[1, 2], [3]])


def test_a_column_that_would_be_one_of_the_answers(fails, model, frame):
    told = fails(model.fit, frame.rename(columns={"sku": "rank"}), item="rank", silent=True)
    assert "The log's column rank has the name of a column of the answers" in told


def test_a_log_without_times_for_a_system_that_reads_them(fails, frame, columns, tiny):
    settings = {**tiny, "time_column": None}
    del (named := dict(columns))["time"]
    model = Recommender("tisasrec", **settings)
    assert "tisasrec needs times" in fails(model.fit, frame, **named, silent=True)


def damages():
    def truncated(path):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    def emptied(path):
        path.write_bytes(b"")

    def flipped(path):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

    def missing(path):
        path.unlink()

    return [truncated, emptied, flipped, missing]


@pytest.mark.parametrize("damage", damages(), ids=lambda damage: damage.__name__)
def test_a_saved_folder_that_is_damaged(fails, saved, tmp_path, damage):
    folder = tmp_path / "model"
    names = [path.relative_to(saved) for path in saved.rglob("*") if path.is_file()]
    assert len(names) == 6
    for name in names:
        shutil.copytree(saved, folder)
        damage(folder / name)
        told = fails(Recommender.load, folder)
        assert str(folder / name) in told or "has no recommender.json" in told
        shutil.rmtree(folder)


def test_a_flipped_byte_of_what_describes_it_is_told_or_without_effect(saved, tmp_path, model):
    folder = tmp_path / "model"
    shutil.copytree(saved, folder)
    path = folder / "recommender.json"
    whole, refused = path.read_bytes(), 0
    positions = np.random.default_rng(0).choice(len(whole), 100, replace=False)
    for position in positions:
        damaged = bytearray(whole)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        try:
            loaded = Recommender.load(folder)
        except UserError:
            refused += 1
        else:
            # White space, or a digit that no double tells from another.
            assert (loaded.settings, loaded.metrics) == (model.settings, model.metrics)
    assert refused > 50


def test_a_saved_folder_of_another_version(fails, saved, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(saved, folder)
    path = folder / "recommender.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    assert "has the format 99" in fails(Recommender.load, folder)


@pytest.mark.parametrize("content", ["", "[]", "{}", "7", '{"format": 1}', "\x00"])
def test_a_description_that_another_program_wrote(fails, tmp_path, content):
    (tmp_path / "recommender.json").write_text(content)
    assert "recommender.json is missing or damaged" in fails(Recommender.load, tmp_path)


def test_a_folder_that_is_not_ours(fails, model, tmp_path):
    (tmp_path / "thesis.txt").write_text("three years")
    for folder in (tmp_path, tmp_path / "none", tmp_path / "thesis.txt"):
        assert "is not a saved recommender" in fails(Recommender.load, folder)
    for folder in (tmp_path, tmp_path / "thesis.txt"):
        assert "is not a saved recommender: name another folder" in fails(model.save, folder)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert (tmp_path / "thesis.txt").read_text() == "three years"


def test_the_default_columns_are_named_where_they_are_missing(fails, frame):
    assert f"no column {DataSettings.user_column}" in fails(Recommender().fit, frame)
