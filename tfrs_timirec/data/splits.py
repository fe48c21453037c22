"""Which of each user's interactions train, which validate and which test."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from tfrs_timirec.config import DataSettings
from tfrs_timirec.data.store import SequenceStore
from tfrs_timirec.errors import UserError


@dataclass(frozen=True, eq=False)
class Split:
    """Where the parts of each user's interactions end.

    Args:
        training_end: int64 [users], the place in the store's items where the training part ends
            and the validation part begins.
        validation_end: int64 [users], where the validation part ends and the test part begins.
    """

    training_end: np.ndarray
    validation_end: np.ndarray


def split_of(store: SequenceStore, settings: DataSettings) -> Split:
    """Splits the interactions of all users.

    Args:
        store: The users' sequences.
        settings: Which split, and its points in time.

    Raises:
        UserError: If the temporal split has no times, its points are no points in time or not in
            order, or nothing is left before or after one of them.
    """
    end = store.offsets[1:]
    if settings.split == "none":
        return Split(end, end)
    if settings.split == "leave_one_out":
        return Split(end - 2, end - 1)
    if store.times is None:
        raise UserError(
            "data.split is temporal, but the log was read without times: set data.time_column to "
            "its column of times, or data.split to leave_one_out."
        )
    names = ("validation_from", "test_from")
    validation, test = (_point(store.times, getattr(settings, name), name) for name in names)
    if validation == test and settings.validation_from != settings.test_from:
        raise UserError(
            f"data.validation_from ({settings.validation_from}) and data.test_from "
            f"({settings.test_from}) are the same time, {_told(int(test))}: choose points farther "
            "apart, or set data.split to leave_one_out."
        )
    if validation >= test:
        raise UserError(
            f"data.validation_from ({settings.validation_from}) is not before data.test_from "
            f"({settings.test_from}): choose an earlier point for the validation."
        )
    for name, empty in (
        ("validation_from", not (store.times < validation).any()),
        ("test_from", not (store.times >= test).any()),
    ):
        if empty:
            first, last = (_told(time) for time in (store.times.min(), store.times.max()))
            raise UserError(
                f"data.{name} is {getattr(settings, name)}, but the log is from {first} to {last}: "
                f"choose a point between."
            )
    begin = store.offsets[:-1]

    def ends(point: float) -> np.ndarray:
        before = np.concatenate([[0], np.cumsum(store.times < point)])
        return begin + before[end] - before[begin]

    return Split(ends(validation), ends(test))


def _point(times: np.ndarray, value: float | str, name: str) -> float:
    """A point in time: a share of the interactions, a number or a date, which is in UTC."""
    try:
        number = float(value)
        if not math.isfinite(number):
            value = str(value)
            raise ValueError
    except ValueError:
        try:
            date = datetime.fromisoformat(value)
        except ValueError:
            raise UserError(
                f"data.{name} is {value!r}: give a date such as 2024-05-31, a number in the log's "
                "unit of time, or a share between 0 and 1."
            ) from None
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    if 0 < number < 1:
        return float(np.quantile(times, number, method="higher"))
    return number


def date_of(time: float) -> str | None:
    """The date of a time of a log, if it is one of seconds since 1970."""
    if 10**8 <= time < 10**11:
        return f"{datetime.fromtimestamp(int(time), UTC):%Y-%m-%d}"
    return None


def _told(time: int) -> str:
    """A time of the log, with its date if it has one."""
    date = date_of(time)
    return f"{time} ({date})" if date else str(time)
