"""What the figures of a comparison say, of figures that are known."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from tfrs_timirec.comparison.conclusion import conclusion
from tfrs_timirec.comparison.results import holm, seen_from
from tfrs_timirec.evaluation.metrics import headline

AMONG = {"sampled": "among 99 negatives", "full": "in the whole catalogue"}
METRICS = ("HR@10", "NDCG@10")
MEANS = {
    "sampled": pd.DataFrame(
        {"HR@10": [0.1, 0.2, 0.25], "NDCG@10": [0.05, 0.1, 0.12]}, ["pop", "B", "A"]
    ),
    "full": pd.DataFrame(
        {"HR@10": [0.01, 0.06, 0.05], "NDCG@10": [0.02, 0.02, 0.03]}, ["pop", "B", "A"]
    ),
}


def found_in(rows: list[tuple]) -> pd.DataFrame:
    """Differences of `reference name protocol metric of_reference of_other p_holm`."""
    found = pd.DataFrame([(*row[0].split(), *row[1:]) for row in rows])
    found.columns = [
        *("reference", "name", "protocol", "metric", "of_reference", "of_other", "p_holm")
    ]
    difference = found["of_reference"] - found["of_other"]
    return found.assign(difference=difference, low=difference - 0.01, high=difference + 0.01)


DIFFERENCES = found_in(
    [
        ("A pop sampled HR@10", 0.25, 0.1, 0.0),
        ("A B sampled HR@10", 0.25, 0.2, 1e-4),
        ("A pop sampled NDCG@10", 0.12, 0.05, 0.0),
        ("A B sampled NDCG@10", 0.12, 0.1, 0.01),
        ("A pop full HR@10", 0.05, 0.01, 0.001),
        ("A B full HR@10", 0.05, 0.06, 0.03),
        ("A pop full NDCG@10", 0.03, 0.02, 0.04),
        ("A B full NDCG@10", 0.03, 0.02, 0.05),
    ]
)


def test_the_words_of_known_figures():
    paper = pd.DataFrame({"HR@10": [0.2, 0.24], "NDCG@10": [np.nan, 0.125]}, ["B", "A"])
    assert conclusion(MEANS, paper, DIFFERENCES, METRICS, AMONG, {}) == [
        "Among 99 negatives, A is the best of 3 systems by every metric (HR@10 0.2500, NDCG@10 "
        "0.1200).",
        "In the whole catalogue, B is the best of 3 systems by HR@10 (0.0600); A by NDCG@10 "
        "(0.0300).",
        "Among 99 negatives, by HR@10 and NDCG@10, A is above all 2 others, by at least 0.0500 "
        "(25 %, B) and 0.0200 (20 %, B).",
        "In the whole catalogue, by HR@10, A is above pop, by 0.0400 (400 %), and below B, by "
        "0.0100 (17 %).",
        "In the whole catalogue, by NDCG@10, A is above pop, by 0.0100 (50 %).",
        "What cannot be told apart (of 8 paired t-tests over users, Holm's correction, p ≥ 0.05): "
        "A from B (NDCG@10) in the whole catalogue.",
        "Of the paper's 3 figures of HR@10 and NDCG@10 for these systems, 2 are reached; A's "
        "NDCG@10 is the farthest below, 4.0 % below the paper's.",
    ]


def test_a_second_reference_is_seen_from_its_own_side():
    turned = seen_from(DIFFERENCES, "B")
    assert set(turned["name"]) == {"A"} and set(turned["reference"]) == {"B"}
    row = turned[(turned["protocol"] == "sampled") & (turned["metric"] == "HR@10")].iloc[0]
    assert (row.of_reference, row.of_other) == (0.2, 0.25)
    np.testing.assert_allclose([row.difference, row.low, row.high], [-0.05, -0.06, -0.04])


def test_a_system_alone_is_compared_with_nothing():
    means = {protocol: figures.iloc[:1] for protocol, figures in MEANS.items()}
    by = {
        ("A", "model.num_interests"): pd.DataFrame({"mean": [0.09, 0.1, 0.08]}, [1, 2, 4]),
        ("A", "model.temperature"): pd.DataFrame({"mean": [0.1, 0.08001, 0.08]}, [0.1, 0.5, 1]),
        ("B", "model.dropout"): pd.DataFrame({"mean": [0.1, 0.1]}, [0, 0.5]),
    }
    assert conclusion(means, pd.DataFrame(), pd.DataFrame(), METRICS, AMONG, by) == [
        "Among 99 negatives, pop has HR@10 0.1000 and NDCG@10 0.0500.",
        "In the whole catalogue, pop has HR@10 0.0100 and NDCG@10 0.0200.",
        "By model.num_interests, A's HR@10 among 99 negatives is highest at 2 (0.1000) and lowest "
        "at 4 (0.0800).",
        "By model.temperature, A's HR@10 among 99 negatives is highest at 0.1 (0.1000) and lowest "
        "at 0.5 and 1 (0.0800).",
        "Whatever model.dropout, B's HR@10 among 99 negatives is 0.1000.",
    ]


def test_what_is_tested():
    assert headline([5, 10, 20]) == ("HR@10", "NDCG@10")
    assert headline([1, 3]) == ("HR@3", "NDCG@3")


def test_holm_gives_what_the_package_multtest_of_r_gives():
    """The figures are those that statsmodels tests its own Holm against."""
    p = [
        *(0.838541367553, 0.642193923795, 0.680845947633, 0.967833824309, 0.71626938238),
        *(0.177096952723, 5.23656777208e-05, 0.0202732688798, 0.00028140506198, 0.0149877310796),
    ]
    corrected = [1.0] * 6 + [
        5.23656777208e-04,
        0.14191288215860,
        2.53264555782e-03,
        0.1199018486368,
    ]
    np.testing.assert_allclose(holm(np.array(p)), corrected, rtol=1e-9)
    assert len(holm(np.array([]))) == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_rejects_what_the_steps_of_the_procedure_reject(given_p):
    p = np.array(given_p)
    rejected = np.zeros(len(p), bool)
    # Holm's own words: as long as the smallest is below α over how many are left.
    for i, at in enumerate(np.argsort(p)):
        if p[at] * (len(p) - i) >= 0.05:
            break
        rejected[at] = True
    np.testing.assert_array_equal(holm(p) < 0.05, rejected)
