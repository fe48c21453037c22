"""Figures of lists of recommendations, beyond whether the target is in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.special import rel_entr

# What each figure says, for tables.
MEANING = {
    "Coverage": "share of the catalogue that is in anybody's list",
    "Gini": "how unequally the lists show the items: 0 all alike, 1 always the same one",
    "Novelty": "bits: an item of n bits has 1 in 2^n of the interactions in training",
    "Popularity": "interactions in training of an item of a list, on average",
    "Popularity lift": "how much more popular than the histories: 0 as much, 1 twice as much",
    "Diversity": "how different the attributes of two items of a list are, from 0 to 1",
    "Miscalibration": "nats that the list's attributes are off the history's: 0 none, 4.6 all",
}
# α, which keeps the divergence finite.
SMOOTHING = 0.01


@dataclass(frozen=True, eq=False)
class Attributes:
    """Which item has which attributes, such as genres.

    Args:
        has: float64 [items + 1, attributes], 1 where the item has it; row 0 is that of no item.
    """

    has: sparse.csr_array

    @classmethod
    def of(cls, attributes: Sequence[Sequence[str]]) -> "Attributes":
        """Those of each item; none where they are not known.

        Args:
            attributes: An item each, of the catalogue; each attribute once.
        """
        flat = [attribute for of_item in attributes for attribute in of_item]
        names, columns = np.unique(flat, return_inverse=True)
        ends = np.cumsum([0, 0, *map(len, attributes)])
        shape = (len(attributes) + 1, len(names))
        return cls(sparse.csr_array((np.ones(len(flat)), columns, ends), shape=shape))

    @cached_property
    def sizes(self) -> np.ndarray:
        """float64 [items + 1], how many each has."""
        return self.has.sum(axis=1)

    @cached_property
    def units(self) -> sparse.csr_array:
        """Rows of length 1, but for those without any."""
        return _scaled(self.has, np.sqrt(self.sizes))

    @cached_property
    def shares(self) -> sparse.csr_array:
        """Rows that add up to 1, but for those without any."""
        return _scaled(self.has, self.sizes)


def diversity(lists: np.ndarray, attributes: Attributes) -> np.ndarray:
    """How different the items of each list are: the mean of 1 − cosine over its pairs of items.

    It is the intra-list distance (Ziegler et al., WWW 2005; Castells et al., Recommender Systems
    Handbook, 2022). The cosine of items with the attributes A and B is |A ∩ B| / √(|A|·|B|). All
    cosines add up to the squared length of the sum of unit vectors, so that no pair is looked at.

    Args:
        lists: int [users, n], item indices, 0 for none.
        attributes: Of the items.

    Returns:
        float64 [users], from 0 to 1; NaN where fewer than two items have any.
    """
    total = _counted(lists, attributes.units) @ attributes.units
    known = (attributes.sizes > 0)[lists].sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = (total.power(2).sum(axis=1) - known) / (known * (known - 1))
    # Rounding takes that of items that are all different, or all alike, out of the range.
    return np.where(known > 1, np.clip(1 - cosine, 0, 1), np.nan)


def miscalibration(
    lists: np.ndarray, histories: sparse.csr_array, attributes: Attributes
) -> np.ndarray:
    """How far the attributes of each list are from being distributed as in the user's history.

    KL(p ‖ q̃) with p the distribution of the history, q that of the list, q̃ = (1 − α)·q + α·p and
    α = 0.01 (Steck, RecSys 2018). An item is divided evenly among its attributes; all
    interactions of the history weigh alike, and so do the places of the list.

    Args:
        lists: int [users, n], item indices, 0 for none.
        histories: float64 [users, items + 1], how often each user had each item.
        attributes: Of the items.

    Returns:
        float64 [users], in nats, from 0 to log(1/α); NaN where nothing of the history, or of the
        list, has any.
    """
    p = _distributions(histories @ attributes.shares)
    q = _distributions(_counted(lists, attributes.shares) @ attributes.shares)
    # Where p is, and there alone.
    mixed = (1 - SMOOTHING) * q.multiply(p.sign()) + SMOOTHING * p
    rows = np.repeat(np.arange(len(lists)), np.diff(p.indptr))
    divergence = np.bincount(rows, rel_entr(p.data, mixed.data), minlength=len(lists))
    known = (np.diff(p.indptr) > 0) & (np.diff(q.indptr) > 0)
    # Rounding takes that of equal distributions below 0.
    return np.where(known, np.maximum(divergence, 0), np.nan)


def gini(counts: np.ndarray) -> float:
    """How unequal counts are: 0 if all are equal, 1 if all but one are 0.

    Σ_j (2j − n − 1)·c_j / ((n − 1)·Σ c) over the n counts in ascending order (Shani and
    Gunawardana, Recommender Systems Handbook, 2011).

    Args:
        counts: int [n], such as how often each item was recommended; not all are 0.
    """
    n = len(counts)
    weights = 2 * np.arange(1, n + 1) - n - 1
    return float(weights @ np.sort(counts) / (max(n - 1, 1) * counts.sum()))


class ListFigures:
    """Figures of the first N items of everybody's lists, which are added block by block.

    `Coverage@N` is the share of the catalogue that is in any list (Ge et al., RecSys 2010) and
    `Gini@N` is `gini` of how often each item is in one. Means over the users are `Novelty@N`, −log2
    of an item's share of the interactions (the self-information of Zhou et al., PNAS 2010, where
    it is the share of the users), `Popularity@N`, an item's interactions (Yin et al., VLDB 2012),
    `Diversity@N` and `Miscalibration@N`. `Popularity lift@N` is by what part the mean popularity is
    above that of the histories (Abdollahpouri et al., RecSys 2020).

    Args:
        counts: int64 [items], interactions of each item in training. Novelty takes an item without
            any for one with one.
        cutoffs: The N.
        attributes: Of the items; None if they are not known.
    """

    def __init__(
        self, counts: np.ndarray, cutoffs: Sequence[int], attributes: Attributes | None = None
    ):
        information = np.log2(max(1, counts.sum())) - np.log2(np.maximum(counts, 1))
        self._information = np.concatenate([[0], information])
        self._popularity = np.concatenate([[0], counts])
        self._attributes = attributes
        self._shown = {n: np.zeros(len(counts) + 1, np.int64) for n in cutoffs}
        self._of_users: dict[str, list[np.ndarray]] = {}

    def add(self, lists: np.ndarray, histories: sparse.csr_array) -> None:
        """Takes the lists of more users.

        Args:
            lists: int [users, at most the largest N], item indices, the best first, 0 where no
                more items are left.
            histories: float64 [users, items + 1], how often each user had each item.
        """
        self._note("history", histories @ self._popularity, histories.sum(axis=1))
        for n, shown in self._shown.items():
            first = lists[:, :n]
            np.add.at(shown, first, 1)
            length = (first > 0).sum(axis=1)
            self._note(f"Novelty@{n}", self._information[first].sum(axis=1), length)
            self._note(f"Popularity@{n}", self._popularity[first].sum(axis=1), length)
            if self._attributes is not None:
                self._note(f"Diversity@{n}", diversity(first, self._attributes))
                self._note(
                    f"Miscalibration@{n}", miscalibration(first, histories, self._attributes)
                )

    def _note(self, name: str, total: np.ndarray, count: np.ndarray | float = 1.0) -> None:
        with np.errstate(invalid="ignore"):
            self._of_users.setdefault(name, []).append(total / count)

    def figures(self) -> dict[str, float]:
        """The figures, `Coverage@N` and so on; those that no user has a value of are left out."""
        values = {name: np.concatenate(blocks) for name, blocks in self._of_users.items()}
        found = {
            name: float(np.nanmean(of_users))
            for name, of_users in values.items()
            if not np.isnan(of_users).all()
        }
        before = found.pop("history", 0.0)
        for n, shown in self._shown.items():
            if f"Popularity@{n}" in found:
                found[f"Coverage@{n}"] = float((shown[1:] > 0).mean())
                found[f"Gini@{n}"] = gini(shown[1:])
                if before:
                    found[f"Popularity lift@{n}"] = found[f"Popularity@{n}"] / before - 1
        names = [f"{kind}@{n}" for kind in MEANING for n in self._shown]
        return {name: found[name] for name in names if name in found}


def _counted(lists: np.ndarray, items: sparse.csr_array) -> sparse.csr_array:
    """float64 [users, items + 1], how often each of the rows of items is in each list."""
    users, n = lists.shape
    ends = np.arange(0, users * n + 1, n)
    shape = (users, items.shape[0])
    return sparse.csr_array((np.ones(users * n), lists.ravel(), ends), shape=shape)


def _distributions(rows: sparse.csr_array) -> sparse.csr_array:
    """The rows as shares of their sums, in the order of their columns."""
    shares = _scaled(rows, rows.sum(axis=1))
    shares.sort_indices()
    return shares


def _scaled(rows: sparse.csr_array, by: np.ndarray) -> sparse.csr_array:
    """The rows divided by one number each; by 0 only where they are empty."""
    return sparse.diags_array(1 / np.where(by > 0, by, 1)).tocsr() @ rows
