"""The figures of planted logs, and of random ones against the same by hand."""

import numpy as np
import pytest
from hypothesis import assume, given

from tests.audit.logs import logs
from tests.data.stores import store_of
from tests.examples import examples
from tfrs_timirec import Recommender
from tfrs_timirec.audit.figures import audit
from tfrs_timirec.audit.words import advice, tables
from tfrs_timirec.config import DataSettings
from tfrs_timirec.data import load

SETTINGS = DataSettings(source="log.csv", validation_from=4, test_from=7)


def share(chosen):
    chosen = list(chosen)
    return pytest.approx(sum(chosen) / len(chosen))


def steps_of(users):
    """All interactions as (user, place, time, item)."""
    return [(u, p, *step) for u, user in enumerate(users) for p, step in enumerate(user)]


@examples(50)
@given(logs())
def test_the_log_its_times_and_leave_one_out(drawn):
    users, store = drawn
    found = audit(store, SETTINGS)
    steps = steps_of(users)
    again = [item in [i for _, i in users[u][:p]] for u, p, _, item in steps]
    assert found.log.repeats == share(again)
    assert found.log.duplicates == share((t, i) in users[u][:p] for u, p, t, i in steps)

    def tied(user, place):
        time, item = user[place]
        return any(t == time and i != item for t, i in user)

    times = found.times
    assert times.tied == share(tied(users[u], p) for u, p, _, _ in steps)
    assert times.test_ties == share(tied(user, -1) for user in users)
    assert times.validation_ties == share(tied(user, -2) for user in users)
    trained = [(t, i) for u, p, t, i in steps if p < len(users[u]) - 2]
    targets = [user[-1] for user in users]
    later = [sum(t > time for t, _ in trained) / len(trained) for time, _ in targets]
    assert times.later == pytest.approx(np.mean(later))
    assert sum(times.later_counts) == sum(times.test_counts) == len(users)
    assert sum(times.training_counts) == len(trained)
    of_item = [[t for t, i in trained if i == item] for _, item in targets]
    assert times.items_from_later == share(
        bool(known) and min(known) > time for known, (time, _) in zip(of_item, targets, strict=True)
    )
    tested = found.leave_one_out
    assert tested.new_item_targets == share(not known for known in of_item)
    assert tested.repeats == share(user[-1][1] in [item for _, item in user[:-1]] for user in users)
    assert (tested.users, tested.targets, tested.new_users) == (len(users), len(users), 0)


@examples(50)
@given(logs())
def test_what_a_temporal_split_leaves_cold(drawn):
    users, store = drawn
    times = [time for user in users for time, _ in user]
    assume(min(times) < 4 and max(times) >= 7)
    found = audit(store, SETTINGS).temporal
    targets = [{i for t, i in user if t >= 7} for user in users]
    before = [{i for t, i in user if t < 7} for user in users]
    trained = [{i for t, i in user if t < 4} for user in users]
    known = set().union(*trained)
    pairs = [(u, item) for u, items in enumerate(targets) for item in items]
    assert (found.users, found.targets) == (sum(map(bool, targets)), len(pairs))
    assert found.new_users == sum(bool(t) and not k for t, k in zip(targets, trained, strict=True))
    assert found.items == len(set().union(*targets))
    assert found.new_items == len(set().union(*targets) - known)
    assert found.new_item_targets == share(item not in known for _, item in pairs)
    assert found.repeats == share(item in before[u] for u, item in pairs)
    assert found.begins == min(time for time in times if time >= 7)


def test_the_skew_of_popularity():
    alike = audit(store_of([[1, 2, 3], [2, 3, 1]], 3), SETTINGS).popularity
    assert alike.gini == pytest.approx(0) and alike.top == pytest.approx(1 / 3)
    alone = audit(store_of([[1] * 8], 200), SETTINGS).popularity
    assert alone.gini == pytest.approx(1) and alone.top == 1
    assert alone.curve[:100] == [0] * 100 and alone.curve[100] == 1
    # Of 200 items, two are the top 1 %.
    pair = audit(store_of([[*range(1, 201), 1, 2, 1, 2]], 200), SETTINGS).popularity
    assert pair.top == pytest.approx(6 / 204)


def test_popularity_reaches_what_an_evaluation_of_it_does(log):
    folder = str(log.parent / "data")
    for split in ("leave_one_out", "temporal"):
        model = Recommender("popularity", folder=folder, negatives=20, split=split)
        model.fit(str(log), silent=True)
        settings = DataSettings(source=str(log), folder=folder)
        found = audit(load(settings, 0), settings)
        (expected,) = model.metrics["test"].values()
        for name, value in getattr(found, split).baselines["popularity"].items():
            assert value == pytest.approx(expected["full"][name])


UP, DOWN = [1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1]
EARLY, LATE = [0, 1, 2, 3, 6, 8], [0, 1, 2, 3, 6, 9]


@pytest.mark.parametrize(
    ("users", "times", "told"),
    [
        ([UP, DOWN], [EARLY, LATE], None),
        (
            [UP, DOWN],
            [[0, 1, 2, 3, 8, 8], LATE],
            "50 % of the test targets were chosen by the order",
        ),
        # Later than the first one's target are 3 of the 8 that train; than the second one's, none.
        ([UP, DOWN], [[0, 1, 2, 3, 4, 5], [3, 6, 7, 8, 9, 10]], "18.8 % of what is trained on is"),
        ([UP, DOWN, UP], [EARLY, LATE, [9] * 6], "33.3 % of the tested users are new"),
        ([UP, [*DOWN[:-1], 7]], [EARLY, LATE], "50 % of the test targets are of items that"),
        ([UP, [*DOWN[:-1], 6]], [EARLY, LATE], "50 % of the test targets are items that the user"),
        (
            [[1, 2, 3, 3, 5, 6], DOWN],
            [[0, 1, 2, 2, 6, 8], LATE],
            "8.33 % of the interactions repeat",
        ),
        ([[1, 1, 1, 1, 2, 3], DOWN], [EARLY, LATE], "items have 41.7 % of the interactions"),
    ],
)
def test_advice_is_given_where_there_is_reason(users, times, told):
    given = advice(audit(store_of(users, max(map(max, users)), times), SETTINGS))
    counting = [sentence for sentence in given if ": counting, by " in sentence]
    assert len(counting) == 2 and given[-2:] == counting
    assert any(told in sentence for sentence in given) if told else given == counting


def test_a_log_without_times_and_one_with_a_single_time_say_what_they_cannot():
    users = [[1, 2, 3], [2, 3, 1]]
    without = audit(store_of(users, 3), SETTINGS)
    assert without.times is without.temporal is without.log.duplicates is None
    assert ["without times" in sentence for sentence in without.unsaid] == [True]
    assert set(tables(without)) == {"The log", "Leave-one-out"}
    at_once = audit(store_of(users, 3, [[7] * 3] * 2), DataSettings(source="log.csv"))
    assert at_once.temporal is None and at_once.times.test_ties == 1
    assert ["are the same time, 7:" in sentence for sentence in at_once.unsaid] == [True]
    (times,) = (row for row in tables(at_once)["The log"] if row.name == "Times")
    assert times.meaning == "All of them the same."
