"""Going on from a trained system with a log that has grown."""

import numpy as np

from tfrs_timirec.data.task import Task
from tfrs_timirec.models.base import SequentialRecommender

# Of the instances that a training saw in all its epochs, an update sees this share.
EFFORT = 0.075
# Known items that far before and after a new one in a sequence give it its first vector.
NEIGHBOURS = (-2, -1, 1, 2)


def new_and_as_many_old(task: Task, known: np.ndarray, seed: int) -> np.ndarray:
    """Training instances that an update learns from: those that are new, and a sample of others.

    Without the others it would forget what the new ones do not show.

    Args:
        task: The grown one.
        known: int64 [users of before], how long their training parts were; the first users.
        seed: Of the sample.

    Returns:
        int64, numbers of training instances, ascending.
    """
    instances = task.training
    length = np.zeros(task.store.num_users, np.int64)
    length[: len(known)] = known
    is_new = instances.target - instances.begin >= length[instances.users]
    new, old = np.flatnonzero(is_new), np.flatnonzero(~is_new)
    chosen = np.random.default_rng(seed).choice(old, min(len(new), len(old)), replace=False)
    return np.sort(np.concatenate([new, chosen]))


def epochs_of_update(epochs_run: list[int], instances: int, chosen: int) -> list[int]:
    """How many epochs each phase of an update has.

    Args:
        epochs_run: Those of the training, by phase.
        instances: Training instances there are.
        chosen: Those that an epoch of the update has.
    """
    return [max(1, round(EFFORT * epochs * instances / max(1, chosen))) for epochs in epochs_run]


def take_over(system: SequentialRecommender, before: SequentialRecommender, task: Task) -> None:
    """Gives a system the weights of one with a smaller catalogue.

    A new item begins at the mean of the known items' vectors next to it in the training part; one
    without such neighbours keeps the vector that it has.

    Args:
        system: Whose weights are set.
        before: With the first items of its catalogue.
        task: What the system will learn from.
    """
    known = before.state
    pairs = _neighbours(task, before.num_items)
    for name, variable in system.state.items():
        value, old = np.array(variable.value), np.array(known[name].value)
        value[: len(old)] = old
        if len(old) == before.num_items + 1 and len(value) > len(old):
            new, neighbours = pairs
            total = np.zeros_like(value)
            np.add.at(total, new, value[neighbours])
            count = np.bincount(new, minlength=len(value))[:, None]
            value = np.where(count > 0, total / np.maximum(count, 1), value)
        variable.assign(value)


def _neighbours(task: Task, num_known: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a new item and a known one near it: int32 [pairs] each."""
    store = task.store
    places = np.arange(len(store.items))
    users = store.owners
    trained = places < task.split.training_end[users]
    places = places[trained & (store.items > num_known)]
    new, neighbours = [], []
    for distance in NEIGHBOURS:
        there = places + distance
        inside = (there >= 0) & (there < len(store.items))
        here, there = places[inside], there[inside]
        near = (users[here] == users[there]) & trained[there] & (store.items[there] <= num_known)
        new.append(store.items[here[near]])
        neighbours.append(store.items[there[near]])
    return np.concatenate(new), np.concatenate(neighbours)
