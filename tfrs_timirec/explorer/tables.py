"""Items and users as the page reads them: columns of plain lists, items by their places from 0."""

from typing import Any

import numpy as np
import pyarrow as pa

from tfrs_timirec.errors import UserError
from tfrs_timirec.recommender import Recommender

# So many interactions of users, of whole users, are kept for the page.
INTERACTIONS = 1_000_000
# JavaScript tells larger integers apart no more.
LARGEST_ID = 2**53 - 1


def items(
    recommender: Recommender, titles: list[str] | None, categories: list[list[str]] | None
) -> dict[str, Any]:
    """The catalogue.

    Args:
        recommender: Which is trained.
        titles: An item each; None without.
        categories: The categories of each item; None without.

    Returns:
        `ids`, `counts` (interactions in training), and, where there are any, `titles`,
        `categories` (their names, the most frequent first) and `of` (each item's, by their
        places).

    Raises:
        UserError: If the ids are integers beyond what a page can read.
    """
    ids = recommender.sequences.item_ids
    if pa.types.is_integer(ids.type):
        beyond = [i for i in ids.to_pylist() if abs(i) > LARGEST_ID]
        if beyond:
            raise UserError(
                f"The item {beyond[0]} has an id beyond {LARGEST_ID}, which a page in the browser "
                "cannot tell from its neighbours: train with ids that are strings."
            )
    table: dict[str, Any] = {"ids": ids.to_pylist(), "counts": recommender.counts.tolist()}
    if titles is not None:
        table["titles"] = titles
    if categories is not None:
        names, counts = np.unique([c for of in categories for c in of], return_counts=True)
        ordered = names[np.argsort(-counts, kind="stable")].tolist()
        place = {name: i for i, name in enumerate(ordered)}
        table["categories"] = ordered
        table["of"] = [[place[name] for name in of] for of in categories]
    return table


def users(recommender: Recommender) -> dict[str, Any]:
    """Users with what came before the test, and what came next.

    Args:
        recommender: Which is trained.

    Returns:
        `ids`; `histories`, places of items, oldest first; `next`, the first target of the test, −1
        where there is none; `times`, of the histories, where the system reads them; and `of`, how
        many users there are. Where they have more than `INTERACTIONS`, it is some of the users,
        drawn by the seed.
    """
    settings, store = recommender.settings, recommender.sequences
    targets = recommender.tested
    begin, end = store.offsets[:-1], store.offsets[1:].copy()
    coming = np.full(store.num_users, -1)
    tested, first = np.unique(targets.users, return_index=True)
    end[tested], coming[tested] = targets.end[first], targets.positives[first] - 1
    chosen = np.random.default_rng(settings.seed).permutation(store.num_users)
    within = np.cumsum((end - begin)[chosen]) <= INTERACTIONS
    chosen = np.sort(chosen[within])
    table: dict[str, Any] = {
        "of": store.num_users,
        "ids": store.user_ids.take(pa.array(chosen)).to_pylist(),
        "histories": [(store.items[begin[u] : end[u]] - 1).tolist() for u in chosen],
        "next": coming[chosen].tolist(),
    }
    if "times" in recommender.system.tower_inputs:
        table["times"] = [store.times[begin[u] : end[u]].tolist() for u in chosen]
    return table
