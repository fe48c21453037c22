"""Metrics against values by hand, and against plain Python for several targets a user."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfrs_timirec.evaluation.metrics import metric, metric_names

RANKS = np.array([0, 1, 4, 5, 99])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("HR@1", [1, 0, 0, 0, 0]),
        ("HR@5", [1, 1, 1, 0, 0]),
        ("HR@100", [1, 1, 1, 1, 1]),
        ("NDCG@5", [1, 0.6309297535714575, 0.38685280723454163, 0, 0]),
        ("NDCG@6", [1, 0.6309297535714575, 0.38685280723454163, 0.35620718710802255, 0]),
        ("MRR", [1, 0.5, 0.2, 0.16666666666666666, 0.01]),
    ],
)
def test_values(name, expected):
    values = metric(name, RANKS)
    assert values.dtype == np.float64
    np.testing.assert_allclose(values, expected, rtol=1e-12)


def test_all_named_metrics_exist():
    names = metric_names([5, 20], several=False)
    assert names == ["HR@5", "HR@20", "NDCG@5", "NDCG@20", "MRR"]
    assert all(len(metric(name, RANKS)) == len(RANKS) for name in names)
    names = metric_names([5, 20], several=True)
    assert names == [
        *("HR@5", "HR@20", "NDCG@5", "NDCG@20", "Recall@5", "Recall@20"),
        *("Precision@5", "Precision@20", "MAP@5", "MAP@20", "MRR"),
    ]
    users = np.array([0, 0, 1, 1, 2])
    assert all(len(metric(name, RANKS, users)) == 3 for name in names)


@pytest.mark.parametrize(
    "name", ["", "HR", "HR@0", "HR@-1", "hr@5", "NDCG@5 ", "MRR@5", "AUC", "Recall@", "MAP@05"]
)
def test_an_unknown_name_is_told(name):
    said = "is unknown: use HR@N, NDCG@N, Recall@N, Precision@N, MAP@N or MRR"
    with pytest.raises(ValueError, match=said):
        metric(name, RANKS)


def reference(name, places):
    """A metric of one user: `places`, from 1, of the targets in the list of all candidates."""
    places = sorted(places)
    if name == "MRR":
        return 1 / places[0]
    kind, n = name.split("@")
    n = int(n)
    hits = [place for place in places if place <= n]
    if kind == "HR":
        return float(len(hits) > 0)
    if kind == "Recall":
        return len(hits) / len(places)
    if kind == "Precision":
        return len(hits) / n
    most = min(n, len(places))
    if kind == "MAP":
        precisions = [sum(p <= place for p in places) / place for place in hits]
        return sum(precisions) / most
    best = sum(1 / math.log2(place + 1) for place in range(1, most + 1))
    return sum(1 / math.log2(place + 1) for place in hits) / best


names = st.builds(
    "{}@{}".format,
    st.sampled_from(["HR", "NDCG", "Recall", "Precision", "MAP"]),
    st.integers(1, 12),
) | st.just("MRR")


@st.composite
def lists(draw):
    """For users by number: which places, from 1, of a list of candidates the targets have."""
    users = draw(st.lists(st.integers(0, 30), min_size=1, max_size=6, unique=True))
    places = st.lists(st.integers(1, 25), min_size=1, max_size=8, unique=True)
    return {user: draw(places) for user in users}


@given(names, lists(), st.randoms(use_true_random=False))
def test_several_targets_a_user(name, lists, random):
    # The rank of a target does not count the user's better targets; the place does.
    targets = [
        (user, place - 1 - sum(other < place for other in places))
        for user, places in lists.items()
        for place in places
    ]
    random.shuffle(targets)
    users, ranks = np.array(targets).T
    expected = [reference(name, places) for _, places in sorted(lists.items())]
    found = metric(name, ranks, users)
    assert found.dtype == np.float64
    assert (found >= 0).all() and (found <= 1).all()
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@given(names, st.lists(st.integers(0, 30), min_size=1, max_size=9))
def test_one_target_a_user(name, ranks):
    ranks = np.array(ranks)
    expected = [reference(name, [rank + 1]) for rank in ranks]
    np.testing.assert_allclose(metric(name, ranks), expected, rtol=1e-12)
    users = np.arange(len(ranks))[::-1] * 3
    np.testing.assert_allclose(metric(name, ranks, users), expected[::-1], rtol=1e-12)


@pytest.mark.parametrize("several", [False, True])
def test_a_perfect_list_has_the_best_of_each(several):
    for name in metric_names([3], several):
        assert metric(name, np.zeros(3, int), np.zeros(3, int)).tolist() == [1]


def test_no_targets_have_no_values():
    nobody = np.zeros(0, np.int64)
    for name in metric_names([3], several=True):
        assert metric(name, nobody, nobody).shape == (0,)
