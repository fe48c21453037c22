"""What an evaluation finds beside ranks: of everybody, of a sample, of sequences in shards."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.data.stores import store_of
from tests.evaluation.fixed import Fixed
from tfrs_timirec.config import settings_named
from tfrs_timirec.data.store import Shard
from tfrs_timirec.data.task import Task
from tfrs_timirec.evaluation import judging
from tfrs_timirec.evaluation.interests import effective_number, mean_cosine
from tfrs_timirec.evaluation.judging import judge
from tfrs_timirec.evaluation.lists import Attributes
from tfrs_timirec.evaluation.metrics import metric
from tfrs_timirec.evaluation.tables import print_tables
from tfrs_timirec.models.popularity import Popularity, PopularitySettings

ITEMS, LENGTH, CUTOFFS = 15, 4, [2, 5]
SETTINGS = settings_named("popularity", {"negatives": 5, "history_length": LENGTH})
RNG = np.random.default_rng(0)
USERS = [RNG.integers(1, ITEMS + 1, length).tolist() for length in RNG.integers(3, 9, 40)]
VECTORS = RNG.normal(size=(ITEMS, 3))
INTERESTS = RNG.normal(size=(ITEMS + 1, 2, 3))
GENRES = [["odd"] if item % 2 else ["even", "all"] for item in range(1, ITEMS + 1)]


@pytest.fixture(scope="module")
def store():
    return store_of(USERS, ITEMS)


@pytest.fixture(scope="module")
def judged(eagerly):
    """A function that judges a system of two interests on sequences."""
    system = Fixed.of(VECTORS, INTERESTS)

    def judged(store):
        task = Task.of(store, SETTINGS, False).for_catalogue(ITEMS)
        popularity = Popularity.create(ITEMS, PopularitySettings(), 0.0, 0)
        popularity.learn_counts(task.counts)
        systems = [(system.title, system)]
        with eagerly():
            return judge(systems, popularity, task.counts, task, CUTOFFS, Attributes.of(GENRES))

    return judged


@pytest.fixture(scope="module")
def whole(judged, store):
    return judged(store)


def score(items: list[int], k: int | None = None) -> np.ndarray:
    """The scores of the catalogue for a history, by all interests or by one."""
    interests = INTERESTS[items[-LENGTH:][0]]
    return (VECTORS @ interests.T).max(axis=1) if k is None else VECTORS @ interests[k]


def test_the_lists_are_the_best_of_what_the_user_did_not_have(whole):
    lists = []
    for *history, _ in USERS:
        best = np.argsort(-score(history)) + 1
        lists.append([item for item in best if item not in history][:2])
    figures = whole[0]["lists"]["fixed"]
    assert figures["Coverage@2"] == pytest.approx(len(set(np.ravel(lists))) / ITEMS)
    counts = np.bincount([i for *of, _, _ in USERS for i in of], minlength=ITEMS + 1)
    assert figures["Popularity@2"] == pytest.approx(counts[np.array(lists)].mean())
    even = np.array(lists) % 2 == 0
    assert figures["Diversity@2"] == pytest.approx((even[:, 0] != even[:, 1]).mean())
    before = np.mean([counts[history].mean() for *history, _ in USERS])
    lift = counts[np.array(lists)].mean() / before - 1
    assert figures["Popularity lift@2"] == pytest.approx(lift)


def test_the_interests(whole):
    metrics, ranks = whole
    assert list(metrics["interests"]) == ["fixed"]
    figures = metrics["interests"]["fixed"]
    of_users = np.array([INTERESTS[history[-LENGTH:][0]] for *history, _ in USERS])
    assert (figures["interests"], figures["targets"]) == (2, 40)
    assert figures["effective number"] == pytest.approx(effective_number(of_users).mean())
    assert figures["mean cosine"] == pytest.approx(mean_cosine(of_users).mean(), rel=1e-5)
    # All weigh alike: nothing is predicted.
    assert not figures.keys() & {"in play", "accuracy", "calibration error"}
    oracle = []
    for *history, target in USERS:
        others = [i for i in range(1, ITEMS + 1) if i not in (*history, target)]
        by_interest = [score(history, k) for k in range(2)]
        oracle.append(min(sum(of[i - 1] >= of[target - 1] for i in others) for of in by_interest))
    for name, values in (("model", ranks["fixed"]["full"]), ("oracle", np.array(oracle))):
        expected = {
            f"{kind}@{n}": metric(f"{kind}@{n}", values).mean()
            for kind in ("HR", "NDCG")
            for n in CUTOFFS
        }
        assert figures[name] == pytest.approx(expected)
    assert figures["model"]["HR@5"] == pytest.approx(metrics["test"]["fixed"]["full"]["HR@5"])


def test_shards_give_the_same(whole, judged, store):
    lengths = [len(items) for items in USERS]
    bounds = [(0, 13), (13, 14), (14, 40)]
    shards = tuple(Shard(end - begin, sum(lengths[begin:end])) for begin, end in bounds)
    metrics, ranks = judged(replace(store, shards=shards))
    np.testing.assert_array_equal(ranks["fixed"]["full"], whole[1]["fixed"]["full"])
    for name in ("lists", "interests"):
        found, expected = (of[name]["fixed"] for of in (metrics, whole[0]))
        assert found.keys() == expected.keys()
        for figure, value in expected.items():
            assert found[figure] == pytest.approx(value), figure
    # Of the sampled protocol they are others: each shard draws its own negatives.
    for group, of_group in whole[0]["groups"].items():
        found = metrics["groups"][group]["test"]["fixed"]["full"]
        assert found == pytest.approx(of_group["test"]["fixed"]["full"])


def test_of_many_users_there_is_a_sample(whole, judged, store, monkeypatch):
    monkeypatch.setattr(judging, "MOST_USERS", 20)
    metrics, _ = judged(store)
    assert 10 < metrics["interests"]["fixed"]["targets"] < 30
    assert metrics["test"] == whole[0]["test"]
    assert metrics["lists"]["fixed"] != whole[0]["lists"]["fixed"]
    assert judged(store)[0] == metrics


def test_what_is_not_known_is_left_out(judged):
    users = [[item if item <= 10 else ITEMS + 1 for item in items] for items in USERS]
    metrics, _ = judged(store_of(users, ITEMS + 1))
    usable = [
        target <= ITEMS and any(item <= ITEMS for item in history[:-1])
        for *history, target in users
    ]
    assert 0 < sum(usable) < len(users)
    assert metrics["interests"]["fixed"]["targets"] == sum(usable)
    assert metrics["groups"]["rare targets"]["from"] == 0


def test_the_tables(whole, capsys):
    metrics = json.loads(json.dumps(whole[0]))
    print_tables(metrics, CUTOFFS)
    told = capsys.readouterr().out
    for figure in ("Coverage@5", "Miscalibration@5", "mean cosine", "NDCG@5, oracle"):
        assert figure in told
    assert "@2" not in told and "calibration error" not in told
    assert f"{metrics['lists']['popularity']['Novelty@5']:.4f}" in told
    group = metrics["groups"]["long histories"]
    assert f"{group['from']} to {group['to']}" in told
    assert f"{group['test']['fixed']['full']['NDCG@5']:.4f}" in told
