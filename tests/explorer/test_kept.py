"""What the explorer keeps of a model: tables, maps and figures, made once."""

import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tfrs_timirec import Recommender, UserError
from tfrs_timirec.explorer import tables
from tfrs_timirec.explorer.kept import DATA, _spread, kept
from tfrs_timirec.explorer.maps import maps
from tfrs_timirec.explorer.site import PAGE, model_url
from tfrs_timirec.export.settings import ExportSettings


def read(explored, name: str) -> dict:
    return json.loads((explored.folder / DATA / f"{name}.json").read_text())


def test_items_have_titles_categories_and_counts(explored):
    items, store = read(explored, "items"), explored.recommender.sequences
    assert items["ids"] == store.item_ids.to_pylist()
    assert items["counts"] == explored.recommender.counts.tolist()
    place = items["ids"].index("i6")
    assert items["titles"][place] == "Garden thing 6"
    assert {items["categories"][c] for c in items["of"][place]} == {"Garden", "Gift"}
    place = items["ids"].index("i59")
    assert (items["titles"][place], items["of"][place]) == ("", [])


def test_users_have_what_came_before_the_test_and_what_came_next(explored):
    users, store = read(explored, "users"), explored.recommender.sequences
    assert users["of"] == len(users["ids"]) == store.num_users
    for place in (0, 17, 119):
        items = store.items[store.offsets[place] : store.offsets[place + 1]] - 1
        assert users["ids"][place] == store.user_ids[place].as_py()
        assert [*users["histories"][place], users["next"][place]] == items.tolist()


def test_of_many_users_some_are_kept_whole(explored, monkeypatch):
    monkeypatch.setattr(tables, "INTERACTIONS", 500)
    users = tables.users(explored.recommender)
    assert users["of"] == 120
    assert 450 < sum(map(len, users["histories"])) <= 500
    whole = read(explored, "users")
    for user, history in zip(users["ids"], users["histories"], strict=True):
        assert history == whole["histories"][whole["ids"].index(user)]


def test_the_first_map_is_the_plane_of_most_variance(explored):
    drawn = read(explored, "maps")
    vectors = explored.recommender.item_vectors()
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    variances = np.linalg.eigvalsh(np.cov(directions.T))
    assert np.cov(np.array(drawn["pca"]).T).trace() == pytest.approx(variances[-2:].sum(), rel=1e-2)
    placed = (directions - drawn["mean"]) @ np.array(drawn["axes"]).T
    np.testing.assert_allclose(placed, drawn["pca"], atol=1e-3)


def test_the_second_map_keeps_neighbours_together():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(5, 16))
    cluster = np.repeat(np.arange(5), 40)
    vectors = (centres[cluster] + 0.1 * rng.normal(size=(200, 16))).astype(np.float32)
    drawn = maps(vectors, np.ones(200, int), seed=0)
    places = np.array(drawn["tsne"])
    distances = np.linalg.norm(places[:, None] - places, axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (cluster[distances.argmin(axis=1)] == cluster).mean() > 0.98


def test_too_little_for_a_map_has_none():
    assert maps(np.ones((50, 1), np.float32), np.ones(50, int), 0) is None
    assert maps(np.ones((3, 16), np.float32), np.ones(3, int), 0) is None


def test_the_figures_are_those_of_scoring_everything(explored):
    figures, recommender = read(explored, "quality"), explored.recommender
    store, length = recommender.sequences, recommender.settings.model.history_length
    sequences = np.split(store.items, store.offsets[1:-1])
    newest = np.stack([items[:-1][-length:] for items in sequences])
    given = recommender.system.represent({"history": newest})
    interests, weights = np.asarray(given["interests"]), np.asarray(given["interest_weights"])
    scores = interests @ recommender.item_vectors().T
    for user, items in enumerate(sequences):
        had = np.setdiff1d(items[:-1], items[-1:])
        scores[user, :, had - 1] = -np.inf
    target = np.array([items[-1] for items in sequences])

    def rank(scores):
        users = np.arange(len(target))
        return (scores > scores[users, target - 1][:, None] + 1e-5).sum(axis=1)

    by_interest = np.stack([rank(scores[:, k]) for k in range(3)])
    expected = {
        "model": rank(np.einsum("uk,uki->ui", weights, np.maximum(scores, -1e9))),
        "best match": rank(scores.max(axis=1)),
        "oracle": by_interest.min(axis=0),
    }
    assert figures["targets"] == 120
    for name, ranks in expected.items():
        assert figures["hit_rates"][name] == pytest.approx((ranks < 10).mean(), abs=0.01), name
    full = figures["metrics"]["test"]["TiMiRec"]["full"]
    assert figures["hit_rates"]["model"] == pytest.approx(full["HR@10"])
    assert figures["hit_rates"]["oracle"] >= figures["hit_rates"]["model"]
    vectors = recommender.item_vectors()[target - 1]
    cosines = np.einsum("ukd,ud->uk", interests, vectors) / np.linalg.norm(interests, axis=2)
    right = weights.argmax(axis=1) == cosines.argmax(axis=1)
    bins = figures["calibration"]["bins"]
    assert sum(b["count"] for b in bins) == 120
    assert sum(b["count"] * b["accuracy"] for b in bins) == pytest.approx(right.sum())
    assert 1 <= figures["effective"] <= 3 and 0 <= figures["collapsed"] <= 1


def test_of_one_interest_there_is_less_to_tell(of_one_interest):
    figures = json.loads((of_one_interest / DATA / "quality.json").read_text())
    full = figures["metrics"]["test"]["popularity"]["full"]
    assert figures["hit_rates"] == dict.fromkeys(("model", "best match", "oracle"), full["HR@10"])
    assert not figures.keys() & {"effective", "collapsed", "in play", "calibration"}
    assert json.loads((of_one_interest / DATA / "maps.json").read_text()) is None


def test_made_once_and_anew_for_other_titles_or_another_model(explored, tmp_path, monkeypatch):
    told = []
    assert kept(explored.model, explored.titles, told.append) == explored.folder
    assert not told

    def write(folder, model, settings, key, tell):
        (folder / DATA).mkdir()
        (folder / DATA / "about.json").write_text(json.dumps({"key": key}))
        told.append(key)

    monkeypatch.setattr("tfrs_timirec.explorer.kept._write", write)
    model, titles = tmp_path / "model", tmp_path / "titles.csv"
    shutil.copytree(explored.model, model)
    shutil.copy(explored.titles.titles, titles)
    settings = replace(explored.titles, titles=str(titles))
    kept(model, settings, print)
    kept(model, settings, print)
    assert len(told) == 1
    titles.write_text(titles.read_text().replace("thing", "matter"))
    kept(model, settings, print)
    kept(model, replace(settings, categories_column=None), print)
    about = model / "recommender.json"
    about.write_text(about.read_text() + " ")
    kept(model, replace(settings, categories_column=None), print)
    assert len(set(told)) == len(told) == 4


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"titles": "absent.csv"}, "absent.csv cannot be read"),
        pytest.param(
            {"titles_column": "name"},
            "no column name; they have item_id, title, kind",
            marks=pytest.mark.long,
        ),
        pytest.param({"categories_column": "genre"}, "no column genre", marks=pytest.mark.long),
        pytest.param(
            {"titles_id_column": "title"},
            "none for any of the model's items",
            marks=pytest.mark.long,
        ),
    ],
)
def test_titles_that_do_not_fit_are_told_and_done_without(
    explored, tmp_path, monkeypatch, changes, told
):
    exported = []
    monkeypatch.setattr(
        "tfrs_timirec.export.publish.publish", lambda *given: exported.append(given)
    )
    monkeypatch.setattr("tfrs_timirec.explorer.quality.quality", lambda recommender: {})
    monkeypatch.setattr("tfrs_timirec.explorer.maps.maps", lambda *given: None)
    model, heard = tmp_path / "model", []
    shutil.copytree(explored.model, model)
    folder = kept(model, replace(explored.titles, **changes), heard.append)
    trouble = json.loads((folder / DATA / "about.json").read_text())["trouble"]
    assert told in trouble and trouble.endswith((".", "?"))
    assert heard[0].startswith(trouble)
    assert json.loads((folder / DATA / "items.json").read_text()).keys() == {"ids", "counts"}
    ((_, _, settings, _),) = exported
    assert settings.titles is settings.categories_column is None
    # Kept, until it is mended.
    kept(model, replace(explored.titles, **changes), heard.append)
    assert len(exported) == 1
    kept(model, explored.titles, heard.append)
    assert json.loads((folder / DATA / "about.json").read_text())["trouble"] is None
    assert "titles" in json.loads((folder / DATA / "items.json").read_text())


def test_what_is_no_model_is_told(tmp_path):
    with pytest.raises(UserError, match="is neither a saved recommender nor"):
        kept(tmp_path / "nothing", ExportSettings(), lambda told: None)


@pytest.mark.parametrize(("had", "expected"), [([1, 2, 1], 3 - 2), ([1, 2, 3, 4], 0)])
def test_who_had_everything_says_nothing_of_how_far_scores_are_apart(had, expected):
    users = [had, [1, 2, 3, 4], [1, 2, 3, 4, 3]]
    rows = [(u, item, time) for u, items in enumerate(users) for time, item in enumerate(items)]
    log = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    popularity = Recommender("popularity", core=1, split="none").fit(log, silent=True)
    assert _spread(popularity) == expected


def test_the_page_is_built_of_its_sources_and_brings_its_licences():
    sources = PAGE.parent / "page"
    paths = [sources / "build.js", sources / "package-lock.json", *sorted(sources.glob("src/*"))]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
    built = (PAGE / "page.js").read_text()
    assert f"Built of {digest}" in built, "make explorer builds the page anew"
    licences = (PAGE / "licences.txt").read_text()
    for package in json.loads((sources / "package.json").read_text())["dependencies"]:
        assert f"\n{package} " in f"\n{licences}"
    assert sum(path.stat().st_size for path in PAGE.iterdir()) < 2**18


def test_the_url_of_a_server_or_of_a_model_on_it():
    assert model_url("http://h:8501/", "exact") == "http://h:8501/v1/models/exact"
    assert model_url("https://h/x/v1/models/m", "exact") == "https://h/x/v1/models/m"
    with pytest.raises(UserError, match="is no URL"):
        model_url("h:8501", "exact")
