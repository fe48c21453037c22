"""Random logs of a few users, in one shard or several."""

from dataclasses import replace
from itertools import pairwise

from hypothesis import strategies as st

from tests.data.stores import store_of
from tfrs_timirec.data.store import SequenceStore, Shard

ITEMS = 7


@st.composite
def logs(draw) -> tuple[list[list[tuple[int, int]]], SequenceStore]:
    """Each user's times, from 0 to 9, and items, and the same as sequences."""
    steps = st.tuples(st.integers(0, 9), st.integers(1, ITEMS))
    user = st.lists(steps, min_size=3, max_size=9).map(lambda steps: sorted(steps, key=time_of))
    users = draw(st.lists(user, min_size=1, max_size=8))
    times, items = ([[step[i] for step in user] for user in users] for i in (0, 1))
    bounds = sorted({0, len(users), *draw(st.sets(st.integers(1, len(users))))})
    shards = [Shard(b - a, sum(map(len, users[a:b]))) for a, b in pairwise(bounds)]
    return users, replace(store_of(items, ITEMS, times), shards=tuple(shards))


def time_of(step: tuple[int, int]) -> int:
    """What steps are ordered by: those at the same time stay in their order."""
    return step[0]
