"""What a user writes, from a table to a saved recommender."""

import duckdb
import ibis
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import tfrs_timirec as tr
from tfrs_timirec.data.tables import kind_of, read_table

KINDS = {
    "pandas": lambda frame: frame,
    "polars": pl.from_pandas,
    "pyarrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
    "duckdb": lambda frame: duckdb.from_arrow(pa.Table.from_pandas(frame, preserve_index=False)),
    "ibis": ibis.memtable,
}


@pytest.mark.long
def test_the_script(frame, newer, columns, tiny, eagerly, tmp_path):
    model = tr.Recommender(system="timirec", num_interests=2, **tiny)
    with eagerly():
        assert model.fit(frame, **columns, silent=True) is model
    assert list(model.metrics["test"]) == ["popularity", "ComiRec (phase 1)", "TiMiRec"]
    assert model.metrics["users"] == 60

    recommended = model.recommend(users=["c-17", "c-9"], k=5)
    assert isinstance(recommended, pd.DataFrame)
    assert list(recommended) == ["customer", "sku", "rank", "score"]
    assert recommended["customer"].tolist() == ["c-17"] * 5 + ["c-9"] * 5
    assert recommended["rank"].tolist() == [1, 2, 3, 4, 5] * 2

    among = [f"s-{item}" for item in range(20)]
    chosen = model.recommend(users=["c-17"], k=40, among=among, exclude=["s-3", "s-4"])
    had = set(frame.loc[frame["customer"] == "c-17", "sku"])
    assert set(chosen["sku"]) == set(among) - had - {"s-3", "s-4"}

    of_histories = model.recommend(histories=[["s-1", "s-2"], ["s-30"]], k=4)
    assert list(of_histories) == ["history", "sku", "rank", "score"]
    assert of_histories["history"].tolist() == [0] * 4 + [1] * 4

    explained = model.explain(users=["c-17"], k=5)
    assert list(explained.recommendations) == [
        *("customer", "sku", "rank", "score", "interest", "because")
    ]
    assert list(explained.interests) == ["customer", "interest", "weight"]
    assert list(explained.history) == ["customer", "position", "sku", "interest", "share"]

    similar = model.similar_items(["s-1", "s-2"], k=3)
    assert list(similar) == ["sku", "similar", "rank", "score"]
    assert similar["sku"].tolist() == ["s-1"] * 3 + ["s-2"] * 3

    with eagerly():
        again, on_newer = model.evaluate(), model.evaluate(newer)
    for protocol, values in model.metrics["test"]["TiMiRec"].items():
        assert again["test"]["TiMiRec"][protocol] == pytest.approx(values)
    assert on_newer["users"] == 61
    assert list(on_newer["test"]) == ["popularity", "TiMiRec"]

    before = model.sequences
    with eagerly():
        assert model.update(newer, silent=True) is model
    assert model.sequences.user_ids.slice(0, 60) == before.user_ids
    assert model.sequences.item_ids.slice(0, before.num_items) == before.item_ids
    assert model.sequences.num_items == before.num_items + 1
    assert set(model.recommend(users=["c-new"], k=5)["customer"]) == {"c-new"}
    assert "s-new" in set(model.recommend(users=["c-new"], k=41)["sku"])

    metrics, epochs = model.metrics, model.epochs
    rows = []
    with eagerly():
        assert model.refit(callback=rows.append, silent=True) is model
    assert model.metrics == metrics
    assert [row["phase"] for row in rows] == [1] * epochs[0] + [2] * epochs[1]
    assert model.counts.sum() == len(newer)
    assert model.settings.data.split == "leave_one_out"

    asked = {"users": ["c-17", "c-new"], "k": 7}
    recommended = model.recommend(**asked)
    with pytest.raises(tr.UserError, match="Nothing is held out"):
        model.evaluate()
    pd.testing.assert_frame_equal(model.recommend(**asked), recommended)

    model.save(tmp_path / "model")
    loaded = tr.Recommender.load(tmp_path / "model")
    pd.testing.assert_frame_equal(loaded.recommend(**asked), recommended)
    with pytest.raises(tr.UserError, match="Nothing is held out after refit"):
        loaded.evaluate()
    with eagerly():
        assert loaded.evaluate(newer)["users"] == 61
        # It goes on learning from all, and a new training holds out again.
        grown = pd.concat([newer, pd.DataFrame([("c-new", "s-7", 99)], columns=newer.columns)])
        assert loaded.update(grown, silent=True).counts.sum() == len(grown)
        assert loaded.fit(frame, silent=True).metrics["users"] == 60
        again = loaded.evaluate()["test"]
    # That of the training has the first phase, too.
    assert again == {name: loaded.metrics["test"][name] for name in ("popularity", "TiMiRec")}


def test_an_update_counts_anew_what_is_popular(frame, columns, newer):
    model = tr.Recommender("popularity", core=1, negatives=20).fit(frame, **columns, silent=True)
    model.update(newer, silent=True)
    assert model.item_vectors()[:, 0].tolist() == model.counts.tolist()
    again = tr.Recommender("popularity", core=1, negatives=20).fit(newer, **columns, silent=True)
    assert model.metrics == again.metrics


def test_five_lines(frame, eagerly, tiny):
    log = frame.set_axis(["user_id", "item_id", "timestamp"], axis=1)
    with eagerly():
        model = tr.Recommender("youtube_dnn", **tiny)
        model.fit(log)
        recommended = model.recommend(["c-17"])
    assert list(recommended) == ["user_id", "item_id", "rank", "score"]
    assert len(recommended) == 10


@pytest.fixture(scope="module")
def of_kind(frame, columns, tiny, eagerly):
    """A function that trains on a log of any kind."""

    def fit(log) -> tr.Recommender:
        with eagerly():
            model = tr.Recommender("youtube_dnn", **{**tiny, "max_epochs": 1})
            return model.fit(log, **columns, silent=True)

    return fit


@pytest.fixture(scope="module")
def expected(of_kind, frame):
    return of_kind(frame).recommend(users=["c-17", "c-9"])


@pytest.mark.parametrize("kind", KINDS)
def test_any_table_gives_the_same_recommendations_as_its_own_kind(kind, frame, of_kind, expected):
    model = of_kind(KINDS[kind](frame))
    answers = [
        model.recommend(users=["c-17", "c-9"]),
        model.similar_items(["s-1"], k=2),
        *vars(model.explain(histories=[["s-1"]], k=2)).values(),
    ]
    assert [kind_of(answer) for answer in answers] == [kind] * len(answers)
    # Strings are of one Arrow type or another.
    assert read_table(answers[0]).to_pylist() == read_table(expected).to_pylist()


def test_a_file_gives_the_same_recommendations_in_pandas(frame, of_kind, expected, tmp_path):
    path = tmp_path / "log.csv"
    frame.to_csv(path, index=False)
    model = of_kind(path)
    pd.testing.assert_frame_equal(model.recommend(users=["c-17", "c-9"]), expected)
