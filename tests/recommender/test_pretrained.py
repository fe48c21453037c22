"""A first phase that another run has trained."""

import numpy as np
import pytest

from tests.training.test_resume import rows
from tfrs_timirec import Recommender, UserError


@pytest.fixture(scope="module")
def runs(frame, columns, tiny, eagerly, tmp_path_factory):
    """The folder of finished runs of ComiRec with two interests and of popularity."""
    folder = tmp_path_factory.mktemp("runs")
    with eagerly():
        comirec = Recommender("comirec", num_interests=2, **tiny)
        comirec.fit(frame, **columns, run=folder / "comirec", silent=True)
        popularity = Recommender("popularity", **tiny)
        popularity.fit(frame, **columns, run=folder / "popularity", silent=True)
    return folder


def test_the_rest_ends_as_if_all_had_been_trained(
    model, frame, columns, tiny, runs, tmp_path, eager
):
    taken = Recommender(num_interests=2, **tiny)
    taken.fit(frame, **columns, run=tmp_path / "run", pretrained=runs / "comirec", silent=True)
    weights = (of.system.user_tower.get_weights() for of in (taken, model))
    for found, expected in zip(*weights, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert taken.metrics == model.metrics and taken.epochs == model.epochs


@pytest.mark.long
def test_a_second_learning_rate_is_that_of_the_rest(
    model, frame, columns, tiny, runs, tmp_path, eager
):
    # Both go on from the same first phase.
    taken = Recommender(num_interests=2, **tiny, learning_rate=2e-4)
    taken.fit(frame, **columns, run=tmp_path / "taken", pretrained=runs / "comirec", silent=True)
    second = Recommender(num_interests=2, **tiny, second_learning_rate=2e-4)
    second.fit(frame, **columns, run=tmp_path / "second", silent=True)
    towers = [of.system.user_tower.get_weights() for of in (taken, second, model)]
    for found, expected in zip(towers[1], towers[0], strict=True):
        np.testing.assert_array_equal(found, expected)
    assert not all(map(np.array_equal, towers[1], towers[2]))


@pytest.mark.long
def test_the_first_phase_may_have_another_objective(frame, columns, tiny, runs, tmp_path, eager):
    settings = {**tiny, "num_interests": 2, "objective": "softmax", "label_smoothing": 0.1}
    settings["routing_penalty"] = 0.1
    taken = Recommender(**settings)
    taken.fit(frame, **columns, run=tmp_path / "run", pretrained=runs / "comirec", silent=True)
    epochs, first = rows(tmp_path / "run"), rows(runs / "comirec")
    assert [epoch for epoch in epochs if epoch["phase"] == "1"] == first
    # A softmax over the catalogue begins near the logarithm of its size, its own phase's near 0.7.
    assert float(epochs[len(first)]["loss"]) > 2 > float(first[0]["loss"])


@pytest.mark.long
def test_a_first_phase_of_everything(frame, columns, tiny, tmp_path, eager):
    settings = {**tiny, "split": "none", "num_interests": 2}
    first = Recommender("comirec", **settings)
    first.fit(frame, **columns, run=tmp_path / "first", silent=True)
    both = Recommender("timirec", **settings)
    both.fit(frame, **columns, run=tmp_path / "both", pretrained=tmp_path / "first", silent=True)
    assert both.metrics == {} and len(both.epochs) == 2


@pytest.mark.parametrize(
    ("system", "changes", "first", "said"),
    [
        ("gru4rec", {}, "comirec", "gru4rec has no first phase"),
        ("timirec", {"pretraining": False}, "comirec", "timirec has no first phase"),
        ("timirec", {"num_interests": 3}, "comirec", "num_interests is 2 there and would be 3"),
        *(
            (
                "timirec",
                {"num_interests": 2, name: here},
                "comirec",
                f"evaluation.{name} is {there!r} there and would be {here!r} here",
            )
            for name, there, here in (
                ("metric", "HR@5", "HR@10"),
                ("protocol", "sampled", "full"),
                ("negatives", 20, 19),
            )
        ),
        ("timirec", {}, "popularity", "'popularity' there and would be 'comirec'"),
        ("timirec", {}, "nothing", "nothing is not a finished run"),
    ],
)
def test_a_run_of_something_else_is_told(
    frame, columns, tiny, runs, tmp_path, system, changes, first, said
):
    untrained = Recommender(system, **{**tiny, **changes})
    with pytest.raises(UserError, match=said):
        untrained.fit(frame, **columns, run=tmp_path / "run", pretrained=runs / first)
    assert not (tmp_path / "run").exists()


def test_a_run_on_another_log_is_told(newer, columns, tiny, runs):
    untrained = Recommender(num_interests=2, **tiny)
    with pytest.raises(UserError, match="The log has changed since"):
        untrained.fit(newer, **columns, pretrained=runs / "comirec", silent=True)
