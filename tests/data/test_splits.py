"""Which interactions train, validate and test, against plain Python."""

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.data.stores import store_of
from tfrs_timirec.config import DataSettings
from tfrs_timirec.data.splits import split_of
from tfrs_timirec.errors import UserError

DAY = 86_400
MAY_31 = 1_717_113_600  # 2024-05-31 00:00 in UTC
# Users with their times in order, some of them equal.
logs = st.lists(
    st.lists(st.integers(0, 20), min_size=1, max_size=9).map(sorted), min_size=1, max_size=6
)


def two_of(largest: int) -> st.SearchStrategy[list[int]]:
    """Two numbers from 1, the smaller first."""
    numbers = st.integers(1, largest)
    return st.lists(numbers, min_size=2, max_size=2, unique=True).map(sorted)


def parts(times, data):
    """Training, validation and test part of each user, as what stands in `times`."""
    store = store_of(times, 1, times)
    split = split_of(store, data)
    bounds = zip(
        store.offsets, split.training_end, split.validation_end, store.offsets[1:], strict=False
    )
    flat = store.times.tolist()
    return [(flat[a:b], flat[b:c], flat[c:d]) for a, b, c, d in bounds]


def parts_by_time(times, validation, test):
    return [
        (
            [t for t in of_user if t < validation],
            [t for t in of_user if validation <= t < test],
            [t for t in of_user if t >= test],
        )
        for of_user in times
    ]


def temporal(validation, test):
    return DataSettings(split="temporal", validation_from=validation, test_from=test)


@given(st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=9), min_size=1, max_size=6))
def test_leave_one_out(times):
    expected = [(of_user[:-2], of_user[-2:-1], of_user[-1:]) for of_user in times]
    assert parts(times, DataSettings()) == expected


@given(logs)
def test_none_trains_on_everything(times):
    assert parts(times, DataSettings(split="none")) == [(of_user, [], []) for of_user in times]


@given(logs, two_of(20), st.sampled_from([int, float, str]))
def test_temporal_by_number(times, points, kind):
    validation, test = points
    everything = [t for of_user in times for t in of_user]
    assume(min(everything) < validation and test <= max(everything))
    assume(validation > 1 or kind is not str)
    found = parts(times, temporal(kind(validation), kind(test)))
    assert found == parts_by_time(times, validation, test)


@given(logs, two_of(15), st.sampled_from([float, str]))
def test_temporal_by_share(times, shares, kind):
    """A share is the first time that at least so many of the interactions precede."""
    validation, test = shares
    everything = sorted(t for of_user in times for t in of_user)
    points = [everything[math.ceil(n / 16 * (len(everything) - 1))] for n in (validation, test)]
    assume(everything[0] < points[0] < points[1])
    found = parts(times, temporal(kind(validation / 16), kind(test / 16)))
    assert found == parts_by_time(times, *points)


@pytest.mark.parametrize(
    ("validation", "test"),
    [
        ("2024-05-31", "2024-06-02"),
        ("2024-05-31T00:00:00", "2024-06-02 00:00"),
        ("2024-05-31T02:00:00+02:00", "2024-06-01T20:00:00-04:00"),
        (str(MAY_31), float(MAY_31 + 2 * DAY)),
        ("2024-05-31", 0.75),
    ],
)
def test_temporal_by_date(validation, test):
    """A date is in UTC where it names no zone; the first second belongs to the later part."""
    days = [[MAY_31 - DAY, MAY_31 - 1, MAY_31], [MAY_31 + DAY, MAY_31 + 2 * DAY]]
    expected = [
        ([MAY_31 - DAY, MAY_31 - 1], [MAY_31], []),
        ([], [MAY_31 + DAY], [MAY_31 + 2 * DAY]),
    ]
    if test == 0.75:
        expected = [expected[0], ([], [], [MAY_31 + DAY, MAY_31 + 2 * DAY])]
    assert parts(days, temporal(validation, test)) == expected


def test_the_dates_of_the_tests_are_those_that_they_say():
    assert datetime(2024, 5, 31, tzinfo=UTC).timestamp() == MAY_31
    in_berlin = datetime(2024, 5, 31, 2, tzinfo=timezone(timedelta(hours=2)))
    assert in_berlin.timestamp() == MAY_31


TIMES = [[3, 5, 8], [4, 9]]


@pytest.mark.parametrize(
    ("times", "validation", "test", "sentence"),
    [
        (
            None,
            0.8,
            0.9,
            "data.split is temporal, but the log was read without times: set data.time_column to "
            "its column of times, or data.split to leave_one_out.",
        ),
        (
            [[70, 70], [70, 70, 70]],
            0.8,
            0.9,
            "data.validation_from (0.8) and data.test_from (0.9) are the same time, 70: choose "
            "points farther apart, or set data.split to leave_one_out.",
        ),
        (
            TIMES,
            "last May",
            0.9,
            "data.validation_from is 'last May': give a date such as 2024-05-31, a number in the "
            "log's unit of time, or a share between 0 and 1.",
        ),
        (
            TIMES,
            0.5,
            "2024-13-01",
            "data.test_from is '2024-13-01': give a date such as 2024-05-31, a number in the log's "
            "unit of time, or a share between 0 and 1.",
        ),
        (
            TIMES,
            8,
            5,
            "data.validation_from (8) is not before data.test_from (5): choose an earlier point "
            "for the validation.",
        ),
        (
            TIMES,
            5,
            5.0,
            "data.validation_from (5) is not before data.test_from (5.0): choose an earlier point "
            "for the validation.",
        ),
        (
            TIMES,
            3,
            5,
            "data.validation_from is 3, but the log is from 3 to 9: choose a point between.",
        ),
        (TIMES, 4, 10, "data.test_from is 10, but the log is from 3 to 9: choose a point between."),
        (
            [[MAY_31, MAY_31 + DAY]],
            "2024-06-01",
            "2025-01-01",
            f"data.test_from is 2025-01-01, but the log is from {MAY_31} (2024-05-31) to "
            f"{MAY_31 + DAY} (2024-06-01): choose a point between.",
        ),
        (
            TIMES,
            float("nan"),
            5,
            "data.validation_from is 'nan': give a date such as 2024-05-31, a number in the log's "
            "unit of time, or a share between 0 and 1.",
        ),
    ],
)
def test_an_impossible_split_is_told(times, validation, test, sentence):
    store = store_of(TIMES if times is None else times, 1, times)
    with pytest.raises(UserError) as error:
        split_of(store, temporal(validation, test))
    assert str(error.value) == sentence
