"""Uniform draws from the items that a user has not touched."""

import numpy as np


class UntouchedItems:
    """For each user, the catalogue without the items of the user.

    A draw is exact and needs no retry: with the user's items sorted, the r-th item that is
    missing from them is found by one binary search.

    Args:
        users: int [interactions], user indices.
        items: int [interactions], item indices, 1 to `num_items`.
        num_users: Users there are.
        num_items: Items of the catalogue.
    """

    def __init__(self, users: np.ndarray, items: np.ndarray, num_users: int, num_items: int):
        self._stride = num_items + 1
        touched = np.unique(users.astype(np.int64) * self._stride + items)
        user, item = touched // self._stride, touched % self._stride
        count = np.bincount(user, minlength=num_users)
        self._first = np.cumsum(count) - count
        rank = np.arange(len(touched)) - self._first[user]
        self._untouched_below = user * self._stride + item - 1 - rank
        self.count = num_items - count

    def nth(self, users: np.ndarray, n: np.ndarray) -> np.ndarray:
        """The n-th (from 0) untouched item of each user.

        Args:
            users: int64, user indices.
            n: int64, of the same shape, each less than `count[user]`.

        Returns:
            int32 of that shape, item indices.
        """
        touched_before = np.searchsorted(self._untouched_below, users * self._stride + n, "right")
        return (n + 1 + touched_before - self._first[users]).astype(np.int32)

    def draw(self, users: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One uniform item for each of `users`, int64 [n]; int32 [n], 0 for one who touched all."""
        count = self.count[users]
        return np.where(count, self.nth(users, rng.integers(np.maximum(count, 1))), 0)

    def draw_sets(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """A set of distinct uniform items for each user.

        Args:
            size: Items of a set.
            rng: Where chance comes from.

        Returns:
            int32 [users, size]; a user with fewer untouched items has them all, then zeros.
        """
        sets = np.zeros((len(self.count), size), np.int32)
        for user, count in enumerate(self.count):
            n = rng.choice(count, min(size, count), replace=False, shuffle=False)
            sets[user, : len(n)] = self.nth(np.full(len(n), user), n)
        return sets
