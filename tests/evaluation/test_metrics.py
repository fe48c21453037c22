import numpy as np
import pytest

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
    names = metric_names([5, 20])
    assert names == ["HR@5", "HR@20", "NDCG@5", "NDCG@20", "MRR"]
    assert all(len(metric(name, RANKS)) == len(RANKS) for name in names)


@pytest.mark.parametrize("name", ["", "HR", "HR@0", "HR@-1", "hr@5", "NDCG@5 ", "MRR@5", "AUC"])
def test_an_unknown_name_is_told(name):
    with pytest.raises(ValueError, match="is unknown: use HR@N, NDCG@N or MRR"):
        metric(name, RANKS)
