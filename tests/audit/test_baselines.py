"""What counting reaches, against the same by hand."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.audit.logs import ITEMS, logs
from tests.data.stores import store_of
from tfrs_timirec.audit import baselines as module
from tfrs_timirec.audit.baselines import baselines
from tfrs_timirec.data.splits import Split
from tfrs_timirec.data.task import Task
from tfrs_timirec.evaluation.metrics import BEYOND, metric

# Of so few items, all are among the first ten.
METRICS = ("HR@2", "NDCG@2", "MRR")


def task_of(store, training_end, validation_end):
    begin = store.offsets[:-1]
    split = Split(begin + np.array(training_end), begin + np.array(validation_end))
    return Task(store, split, 1, store, 0, 0)


def ranks_by_hand(users, training_end, validation_end):
    """The user, and the rank by popularity, repeat and neighbours, of each target."""
    count, follows = Counter(), Counter()
    for user, end in zip(users, training_end, strict=True):
        count.update(user[:end])
        for place, item in enumerate(user[:end]):
            for step, other in enumerate(user[:end][place + 1 : place + 6], 1):
                follows[item, other] += 60 // step
    ranks = []
    for number, user in enumerate(users):
        history, targets = user[: validation_end[number]], user[validation_end[number] :]
        for target in dict.fromkeys(targets) if training_end[number] else ():
            others = set(range(1, ITEMS + 1)) - {*user}
            popular = [count[other] >= count[target] for other in others]
            score = {o: (follows[history[-1], o], count[o]) for o in (*others, target)}
            near = [score[other] >= score[target] for other in others]
            own = [o for o in dict.fromkeys(history[::-1]) if o == target or o not in targets]
            repeat = own.index(target) if target in own else BEYOND
            ranks.append((number, sum(popular), repeat, sum(near)))
    return np.array(ranks, int).reshape(-1, 4).T


@given(logs(), st.sampled_from([1, 20, 2**22]))
def test_baselines_of_any_split_in_any_shards(drawn, at_once):
    users, store = drawn
    items = [[item for _, item in user] for user in users]
    lengths = [len(user) for user in users]
    for ends in (
        [[length - 2 for length in lengths], [length - 1 for length in lengths]],
        [[sum(time < point for time, _ in user) for user in users] for point in (4, 7)],
    ):
        of, *ranks = ranks_by_hand(items, *ends)
        names = ("popularity", "repeat", "neighbours") if len(of) else ()
        expected = {
            name: {m: metric(m, values, of).mean() for m in METRICS}
            for name, values in zip(names, ranks, strict=False)
        }
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "METRICS", METRICS)
            patch.setattr(module, "_PAIRS", at_once)
            patch.setattr(module, "_HISTORIES", at_once)
            assert baselines(task_of(store, *ends)) == expected


def test_neighbours_tell_what_popularity_does_not():
    # After 1 comes 2, but in the test alone for the last user; 20 items are more popular.
    crowd = [list(range(3, 23))] * 3
    users = [[1, 2, 3], [1, 2, 4], *crowd, [5, 1, 2]]
    found = baselines(task_of(store_of(users, 22), [3, 3, 20, 20, 20, 1], [3, 3, 20, 20, 20, 2]))
    assert found["neighbours"] == {"HR@10": 1, "NDCG@10": 1}
    assert found["popularity"] == found["repeat"] == {"HR@10": 0, "NDCG@10": 0}
