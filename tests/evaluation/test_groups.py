"""Groups of users and of targets, by hand."""

import numpy as np
import pytest

from tests.data.stores import store_of
from tfrs_timirec.config import settings_named
from tfrs_timirec.data.task import Task
from tfrs_timirec.evaluation.groups import groups
from tfrs_timirec.evaluation.report import summarise

# The last of each is the target, the one before it validates; new users have no more.
USERS = [[1, 2, 3, 4], [2, 1, 5], [1, 2, 3, 5, 4], [2, 3, 1, 4, 5, 6], [7, 8]]


def of(users, **settings) -> Task:
    return Task.of(store_of(users, 9), settings_named("popularity", settings), False)


def test_groups_by_hand():
    task = of(USERS)
    ranks = {"one": {"sampled": np.arange(5), "full": np.array([0, 9, 2, 30, 1])}}
    # The targets are 4, 5, 4, 6 and 8; the last user is new.
    assert task.counts.tolist() == [3, 4, 2, 1, 0, 0, 0, 0, 0]
    found = groups(ranks, task, task.counts, [5])
    expected = {
        "short histories": (2, 3, [0, 1]),
        "long histories": (4, 5, [2, 3]),
        "rare targets": (0, 0, [1, 3]),
        "popular targets": (1, 1, [0, 2]),
    }
    assert list(found) == list(expected)
    for name, (least, most, chosen) in expected.items():
        of_chosen = {"one": {title: of[chosen] for title, of in ranks["one"].items()}}
        assert found[name] == {
            "from": least,
            "to": most,
            "targets": 2,
            "test": summarise(of_chosen, np.array(chosen), [5]),
        }
    assert found["short histories"]["test"]["one"]["full"]["HR@5"] == pytest.approx(1 / 2)


def test_targets_outside_of_the_group_are_candidates():
    users, times = [[1, 2, 3, 4, 6], [1, 2, 3, 4, 7], [4, 1, 2]], [1, 1, 2, 3, 3]
    store = store_of(users, 9, [times, times, times[:3]])
    temporal = {"split": "temporal", "validation_from": 2, "test_from": 3}
    task = Task.of(store, settings_named("popularity", temporal), False)
    assert task.test.positives.tolist() == [4, 6, 4, 7]
    ranks = {"one": {"full": np.array([0, 0, 0, 3])}}
    found = groups(ranks, task, task.counts, [1, 5])
    rare = found["rare targets"]["test"]["one"]["full"]
    assert (rare["HR@1"], rare["HR@5"], rare["MRR"]) == (0, 1, (1 / 2 + 1 / 5) / 2)
    popular = found["popular targets"]["test"]["one"]["full"]
    assert (popular["HR@1"], popular["MRR"]) == (1, 1)


def test_where_most_have_the_longest_history_the_others_are_short():
    task = of([[1, 2, 3, 4], [2, 1, 3, 5, 4], [3, 2, 1, 5, 4], [2, 3, 1, 4, 5]])
    ranks = {"one": {"full": np.zeros(4, int)}}
    found = groups(ranks, task, task.counts, [5])
    assert [found[name]["targets"] for name in ("short histories", "long histories")] == [1, 3]
    assert (found["short histories"]["to"], found["long histories"]["from"]) == (3, 4)


def test_where_all_are_alike_there_are_no_groups():
    task = of([[1, 2, 3], [2, 1, 3]])
    ranks = {"one": {"full": np.zeros(2, int)}}
    assert groups(ranks, task, task.counts, [5]) == {}


def test_targets_that_are_not_known_are_rare():
    task = of(USERS[:4]).for_catalogue(4)
    ranks = {"one": {"full": np.zeros(4, int)}}
    found = groups(ranks, task, task.counts, [5])
    assert (found["rare targets"]["from"], found["rare targets"]["targets"]) == (0, 2)
