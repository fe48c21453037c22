"""Figures of lists, against values worked out by hand and against their own definitions."""

import json
from itertools import combinations
from math import log, log2, sqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from tfrs_timirec.evaluation.lists import (
    Attributes,
    ListFigures,
    diversity,
    gini,
    miscalibration,
)

# Items 1 to 6; the last one's are not known.
GENRES = [["drama"], ["drama", "comedy"], ["comedy"], ["horror"], ["drama"], []]
ATTRIBUTES = Attributes.of(GENRES)
COUNTS = np.array([8, 4, 2, 1, 1, 0])


def had(*histories: list[int]) -> sparse.csr_array:
    """float64 [users, 7], how often each had each item."""
    return sparse.csr_array(
        np.array([np.bincount(history, minlength=7) for history in histories], float)
    )


def test_diversity_by_hand():
    # The cosines of (drama), (drama, comedy) and (comedy) are 1/√2, 0 and 1/√2.
    lists = np.array([[1, 2, 3], [1, 5, 0], [1, 4, 6], [6, 1, 0], [0, 0, 0]])
    expected = [1 - 2 / sqrt(2) / 3, 0, 1, np.nan, np.nan]
    assert diversity(lists, ATTRIBUTES) == pytest.approx(expected, nan_ok=True)


def test_miscalibration_by_hand():
    histories = had([1, 1, 3, 4], [1, 5], [2], [6], [1])
    lists = np.array([[3, 4], [3, 4], [2, 6], [1, 2], [6, 0]])
    # Half drama, a quarter comedy, a quarter horror, in a list of half comedy, half horror.
    first = 0.5 * log(0.5 / 0.005) + 2 * 0.25 * log(0.25 / (0.99 * 0.5 + 0.0025))
    expected = [first, log(100), 0, np.nan, np.nan]
    found = miscalibration(lists, histories, ATTRIBUTES)
    assert found == pytest.approx(expected, nan_ok=True)


def test_gini_by_hand():
    assert gini(np.array([3, 3, 3])) == 0
    assert gini(np.array([0, 7, 0, 0])) == 1
    assert gini(np.array([7])) == 0
    # (-2·1 + 0·2 + 2·5) / (2·8)
    assert gini(np.array([5, 1, 2])) == pytest.approx(8 / 16)


def test_the_figures_by_hand():
    figures = ListFigures(COUNTS, [1, 3], ATTRIBUTES)
    # The second user has had all but one item; the third block is of nobody.
    figures.add(np.array([[2, 6, 4]]), had([1, 3]))
    figures.add(np.array([[3, 0, 0]]), had([1, 2, 4, 5, 6, 6]))
    figures.add(np.zeros((0, 3), int), had([])[:0])
    assert figures.figures() == {
        "Coverage@1": pytest.approx(2 / 6),
        "Coverage@3": pytest.approx(4 / 6),
        "Gini@1": pytest.approx((3 + 5) / (5 * 2)),
        "Gini@3": pytest.approx((-1 + 1 + 3 + 5) / (5 * 4)),
        # Of 16 interactions, 4 are with item 2, 2 with item 3, 1 with item 4; 6 counts as one.
        "Novelty@1": pytest.approx((2 + 3) / 2),
        "Novelty@3": pytest.approx(((2 + 4 + 4) / 3 + 3) / 2),
        "Popularity@1": pytest.approx((4 + 2) / 2),
        "Popularity@3": pytest.approx((5 / 3 + 2) / 2),
        # The histories have 10/2 and 14/6.
        "Popularity lift@1": pytest.approx(3 / ((5 + 14 / 6) / 2) - 1),
        "Popularity lift@3": pytest.approx((5 / 3 + 2) / (5 + 14 / 6) - 1),
        "Diversity@3": pytest.approx(1),
        "Miscalibration@1": pytest.approx(
            (
                0.5 * log(0.5 / 0.5) * 2
                + (2.5 / 4 * log(100) + 0.5 / 4 * log(0.125 / 0.99125) + 1 / 4 * log(100))
            )
            / 2
        ),
        "Miscalibration@3": pytest.approx(
            (
                2 * 0.5 * log(0.5 / (0.99 * 0.25 + 0.005))
                + (2.5 / 4 * log(100) + 0.5 / 4 * log(0.125 / 0.99125) + 1 / 4 * log(100))
            )
            / 2
        ),
    }


def test_the_figures_are_those_of_rectools():
    # As lists_by_rectools.py wrote them.
    path = Path(__file__).parents[1] / "golden" / "golden_lists.json"
    golden = json.loads(path.read_text())
    attributes, histories = Attributes.of(golden["genres"]), golden["histories"]
    width = len(golden["genres"]) + 1
    counted = np.array([np.bincount(history, minlength=width) for history in histories])
    figures = ListFigures(counted.sum(axis=0)[1:], [1, 3, 8], attributes)
    figures.add(np.array(golden["lists"]), sparse.csr_array(counted.astype(float)))
    found = figures.figures()
    # There an item's share is of the users, and a list of one item has a diversity of 0.
    of_users = log2(counted.sum()) - log2(len(histories))
    for name, value in golden["figures"].items():
        kind = name.split("@")[0]
        expected = value + of_users * (kind == "Novelty")
        if name != "Diversity@1":
            assert found[name] == pytest.approx(expected), name


def test_without_attributes_nothing_is_said_of_them():
    figures = ListFigures(COUNTS, [2])
    figures.add(np.array([[2, 4]]), had([1, 3]))
    kinds = {name.split("@")[0] for name in figures.figures()}
    assert kinds == {"Coverage", "Gini", "Novelty", "Popularity", "Popularity lift"}


def test_of_nobody_there_are_no_figures():
    assert ListFigures(COUNTS, [2], ATTRIBUTES).figures() == {}


@st.composite
def recommended(draw):
    """Attributes of some items, and a list and a history of each user."""
    names = st.lists(st.sampled_from("abcde"), max_size=4, unique=True)
    items = draw(st.lists(names, min_size=4, max_size=9).filter(any))
    index = st.integers(1, len(items))
    n = draw(st.integers(1, 4))
    padded = st.lists(index, max_size=n, unique=True).map(lambda of: of + [0] * (n - len(of)))
    history = st.lists(index, min_size=1, max_size=6)
    users = draw(st.lists(st.tuples(padded, history), min_size=1, max_size=4))
    return items, *(list(part) for part in zip(*users, strict=True))


@given(recommended())
def test_as_their_definitions_have_them(drawn):
    items, lists, histories = drawn
    attributes = Attributes.of(items)
    sets = [set(), *map(set, items)]
    counted = sparse.csr_array(
        np.array([np.bincount(history, minlength=len(sets)) for history in histories], float)
    )
    found = np.array(lists)
    apart = diversity(found, attributes)
    off = miscalibration(found, counted, attributes)
    for user, (of_list, history) in enumerate(zip(lists, histories, strict=True)):
        known = [sets[item] for item in of_list if sets[item]]
        distances = [1 - len(a & b) / sqrt(len(a) * len(b)) for a, b in combinations(known, 2)]
        expected = np.mean(distances) if distances else np.nan
        assert apart[user] == pytest.approx(expected, abs=1e-9, nan_ok=True)
        p, q = (distribution([sets[i] for i in of if sets[i]]) for of in (history, of_list))
        expected = np.nan
        if p and q:
            smoothed = {name: 0.99 * q.get(name, 0) + 0.01 * p[name] for name in p}
            expected = sum(p[name] * log(p[name] / smoothed[name]) for name in p)
        assert off[user] == pytest.approx(expected, abs=1e-9, nan_ok=True)
        assert np.isnan(off[user]) or -1e-9 <= off[user] <= log(100) + 1e-9


def distribution(sets: list[set]) -> dict[str, float]:
    """The share of each attribute, each item divided evenly among its own."""
    names = set().union(*sets)
    return {name: sum((name in of) / len(of) for of in sets) / len(sets) for name in names}


@given(st.lists(st.integers(0, 20), min_size=2, max_size=12).filter(any))
def test_gini_is_half_the_relative_mean_difference(counts):
    n = len(counts)
    differences = sum(abs(a - b) for a in counts for b in counts)
    expected = differences / (2 * n * (n - 1) * np.mean(counts))
    assert gini(np.array(counts)) == pytest.approx(expected)
