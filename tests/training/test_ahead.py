"""Values that are made in a thread come as they would without."""

import threading
from contextlib import closing

import pytest

from tfrs_timirec.training.ahead import ahead


@pytest.mark.parametrize("count", [1, 3, 50])
def test_the_same_values_in_the_same_order(count):
    assert list(ahead(iter(range(20)), count)) == list(range(20))


def test_they_are_made_before_they_are_asked_for():
    made = [threading.Event() for _ in range(9)]

    def values():
        for number, event in enumerate(made):
            event.set()
            yield number

    with closing(ahead(values(), 3)) as taken:
        assert next(taken) == 0
        assert all(event.wait(10) for event in made[:4])
        assert not made[4].wait(0.05)


def test_an_error_comes_when_it_is_its_turn():
    def values():
        yield 1
        raise ValueError("broken")

    taken = ahead(values(), 5)
    assert next(taken) == 1
    with pytest.raises(ValueError, match="broken"):
        next(taken)


def test_its_thread_ends_with_it():
    taken = ahead(iter(range(10**9)), 2)
    next(taken)
    assert any(thread.name.startswith("ahead") for thread in threading.enumerate())
    taken.close()
    assert not any(thread.name.startswith("ahead") for thread in threading.enumerate())
