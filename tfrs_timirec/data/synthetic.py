"""A made-up log whose users have interests that persist and switch."""

import numpy as np
import pyarrow as pa

from tfrs_timirec.data.store import SequenceStore


def generate(
    seed: int,
    num_users: int = 6000,
    num_items: int = 2000,
    num_topics: int = 40,
    num_interests: int = 4,
    shortest: int = 10,
    longest: int = 40,
    stay: float = 0.8,
    follow: float = 0.9,
) -> SequenceStore:
    """Makes sequences in which the next interest shows in the recent steps.

    Every user has a few topics and, at each step, stays with the current one or switches, mostly
    to the next of the user's topics in the topics' order, which goes round. So the topics that a
    user has touched do not tell which comes next, but the last steps do. In a topic, items are
    drawn by Zipf's law.

    Args:
        seed: Everything random depends on it.
        num_users: How many users.
        num_items: How many items, a multiple of `num_topics`.
        num_topics: How many topics the items are divided among.
        num_interests: K, the topics of a user; 3 or more.
        shortest: The fewest steps of a user.
        longest: The most steps of a user.
        stay: The probability that a step keeps the topic.
        follow: The probability that a switch goes to the next topic.

    Returns:
        The sequences, with `interests` int32 [interactions], the topic of each step from 0, and
        ids such as `user-3` and `item-17`.
    """
    random = np.random.default_rng(seed)
    topics = random.random((num_users, num_topics)).argsort(axis=1)[:, :num_interests]
    topics.sort(axis=1)

    switch = random.random((num_users, longest)) >= stay
    ahead = np.where(
        random.random(switch.shape) < follow,
        1,
        random.integers(2, num_interests, switch.shape),
    )
    start = random.integers(num_interests, size=(num_users, 1))
    turns = (start + np.cumsum(switch * ahead, axis=1)) % num_interests
    interests = np.take_along_axis(topics, turns, axis=1)

    size = num_items // num_topics
    share = np.cumsum(1 / np.arange(1, size + 1))
    ranks = np.searchsorted(share / share[-1], random.random(switch.shape), side="right")
    # Shuffled, so that an item's number tells nothing of its topic.
    items = random.permutation(num_items)[interests * size + ranks] + 1

    first = random.integers(1_500_000_000, 1_600_000_000, (num_users, 1))
    times = first + np.cumsum(random.integers(60, 86_400, switch.shape), axis=1)

    lengths = random.integers(shortest, longest + 1, num_users)
    taken = np.arange(longest) < lengths[:, None]
    return SequenceStore(
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        items=items[taken].astype(np.int32),
        times=times[taken],
        user_ids=pa.array([f"user-{i}" for i in range(1, num_users + 1)]),
        item_ids=pa.array([f"item-{i}" for i in range(1, num_items + 1)]),
        interests=interests[taken].astype(np.int32),
    )
