"""The two protocols, and the figures of users that are new after the training part."""

from dataclasses import replace

import numpy as np
import pytest

from tests.data.stores import store_of
from tests.evaluation.fixed import Fixed
from tfrs_timirec.config import settings_named
from tfrs_timirec.data.task import Task
from tfrs_timirec.evaluation.metrics import BEYOND, metric
from tfrs_timirec.evaluation.protocols import protocol_ranks
from tfrs_timirec.evaluation.ranking import Ranker
from tfrs_timirec.evaluation.report import metrics_of, print_metrics, summarise
from tfrs_timirec.models.popularity import Popularity, PopularitySettings

ITEMS = 12
# Each interaction's time is the place in the list; the test begins at 4.
USERS = [
    [1, 2, 3, 4, 5],
    [1, 2, 1, 3, 6, 7, 6],
    [],
    [2, 1, 5, 9, 10],
    [11, 12, 11, 12, 4],
]
NEW = {2: [(5, 8), (6, 1)]}


@pytest.fixture(scope="module")
def task():
    """User 2 begins in the test part; the history of user 4 is unknown in a small catalogue."""
    users = [[*items, *(item for _, item in NEW.get(u, []))] for u, items in enumerate(USERS)]
    times = [
        [*range(len(items)), *(time for time, _ in NEW.get(u, []))] for u, items in enumerate(USERS)
    ]
    settings = settings_named(
        "popularity", {"split": "temporal", "validation_from": 3, "test_from": 4, "negatives": 4}
    )
    return Task.of(store_of(users, ITEMS, times), settings, reads_times=False)


@pytest.fixture(scope="module")
def model():
    """Prefers items of high numbers, whoever asks."""
    return Fixed.of(np.arange(1, ITEMS + 1)[:, None], np.ones((ITEMS + 1, 1, 1)))


@pytest.fixture(scope="module")
def popularity(task):
    popularity = Popularity.create(ITEMS, PopularitySettings(), 0.0, 0)
    popularity.learn_counts(task.counts)
    return popularity


@pytest.fixture(scope="module")
def ranks(task, model, popularity):
    return protocol_ranks(Ranker(model), Ranker(popularity), task.test, task.negatives)


def test_the_targets(task):
    targets = zip(task.test.users.tolist(), task.test.positives.tolist(), strict=True)
    assert list(targets) == [(0, 5), (1, 6), (1, 7), (2, 8), (2, 1), (3, 10), (4, 4)]
    assert task.is_new.tolist() == [False, False, True, False, False]
    assert task.counts.tolist() == [4, 3, 1, 0, 1, *[0] * 5, 2, 1]


def test_a_user_without_a_history_gets_the_ranks_of_popularity(task, model, popularity, ranks):
    new = task.test.users == 2
    for protocol, negatives in (("sampled", task.negatives), ("full", None)):
        assert ranks[protocol].dtype == np.int64
        expected = np.where(
            new,
            Ranker(popularity).ranks(task.test, negatives),
            Ranker(model).ranks(task.test, negatives),
        )
        assert ranks[protocol].tolist() == expected.tolist()
    # Nobody had item 8, like 7 others but item 1, the other target; item 1 is the most popular.
    assert ranks["full"][new].tolist() == [10, 0]


def test_an_unknown_target_is_in_no_list(task, model, popularity):
    known = task.for_catalogue(7)
    smaller = Fixed.of(np.arange(1, 8)[:, None], np.ones((8, 1, 1)))
    baseline = Popularity.create(7, PopularitySettings(), 0.0, 0)
    baseline.learn_counts(task.counts[:7])
    ranks = protocol_ranks(Ranker(smaller), Ranker(baseline), known.test, known.negatives)
    targets = known.test.positives.tolist()
    assert targets == [5, 6, 7, 0, 1, 0, 4]
    for found in ranks.values():
        assert [rank == BEYOND for rank in found] == [target == 0 for target in targets]
    assert metric("HR@20", ranks["full"]).tolist() == [1, 1, 1, 0, 1, 0, 1]
    # 6 and 7 are above 5; 7 is the other target of the user of 6; 1 is the most popular, and 4 the
    # least, which counts where nothing of the history is known.
    assert ranks["full"].tolist() == [2, 0, 0, BEYOND, 0, BEYOND, 6]


def test_figures_of_new_users_stand_apart(task, ranks):
    metrics = metrics_of({"one": ranks}, task, [1, 5])
    assert list(metrics) == ["users", "test", "new users", "test, new users"]
    assert (metrics["users"], metrics["new users"]) == (4, 1)
    users = task.test.users
    for title, chosen in (("test", users != 2), ("test, new users", users == 2)):
        for protocol in ("sampled", "full"):
            of_protocol = metrics[title]["one"][protocol]
            assert list(of_protocol) == [
                *("HR@1", "HR@5", "NDCG@1", "NDCG@5", "Recall@1", "Recall@5"),
                *("Precision@1", "Precision@5", "MAP@1", "MAP@5", "MRR"),
            ]
            for name, value in of_protocol.items():
                expected = metric(name, ranks[protocol][chosen], users[chosen]).mean()
                assert value == pytest.approx(expected)


def test_without_new_users_nothing_is_said_of_them(task, ranks):
    old = np.flatnonzero(task.test.users != 2)
    of_old = replace(task)
    of_old.__dict__["test"] = task.test.chosen(old)
    of_old_ranks = {protocol: values[old] for protocol, values in ranks.items()}
    metrics = metrics_of({"one": of_old_ranks}, of_old, [5])
    assert list(metrics) == ["users", "test"]
    assert metrics["test"] == summarise({"one": of_old_ranks}, of_old.test.users, [5])


def test_one_target_a_user_has_the_plain_metrics():
    ranks = {"one": {"full": np.array([0, 3, 9])}}
    figures = summarise(ranks, np.array([4, 5, 9]), [5])["one"]["full"]
    assert figures == {
        "HR@5": pytest.approx(2 / 3),
        "NDCG@5": pytest.approx((1 + 1 / np.log2(5)) / 3),
        "MRR": pytest.approx((1 + 1 / 4 + 1 / 10) / 3),
    }


def test_what_is_printed(task, ranks, capsys):
    metrics = metrics_of({"one": ranks}, task, [5])
    print_metrics(metrics, negatives=1000)
    told = " ".join(capsys.readouterr().out.split())
    assert "Test, target among 1,000 negatives" in told
    assert "Test, target among the whole catalogue" in told
    assert "Test, 1 users that are new after the training part, target among the whole" in told
    for title in ("test", "test, new users"):
        for figures in metrics[title]["one"].values():
            assert " │ ".join(f"{value:.4f}" for value in figures.values()) in told
