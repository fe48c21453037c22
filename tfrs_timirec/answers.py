"""Answers as tables: recommendations, and where they come from."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tfrs_timirec.data.instances import Instances
from tfrs_timirec.retrieval import Best

# Those beside the log's own, of any answer.
COLUMNS = (
    "because",
    "history",
    "interest",
    "position",
    "rank",
    "score",
    "share",
    "similar",
    "weight",
)


@dataclass(frozen=True, eq=False)
class Question:
    """Who is asked for.

    Args:
        histories: One history per user.
        name: The column that names the user.
        ids: [users], its values.
        item_column: The column that names the item.
        item_ids: The catalogue.
    """

    histories: Instances
    name: str
    ids: pa.Array
    item_column: str
    item_ids: pa.Array


def in_order(answers: Iterable[Best], max_length: int) -> Best:
    """The answers of all blocks as one, in the order of the users.

    Args:
        answers: One or more, block by block.
        max_length: L, the width of the joined attention.
    """
    answers = list(answers)
    order = np.argsort(np.concatenate([answer.rows for answer in answers]))

    def joined(name: str) -> np.ndarray | None:
        parts = [getattr(answer, name) for answer in answers]
        if parts[0] is None:
            return None
        if name == "attention":
            parts = [np.pad(p, [(0, 0), (0, max_length - p.shape[1]), (0, 0)]) for p in parts]
        return np.concatenate(parts)[order]

    names = ("rows", "items", "scores", "interests", "weights", "attention")
    return Best(**{name: joined(name) for name in names})


def recommendations(question: Question, best: Best, because: bool = False) -> pa.Table:
    """One row per recommendation, user by user, the best first.

    Args:
        question: Who was asked for.
        best: The answers, in the order of the users.
        because: Adds the item of the history with the largest share in the interest.
    """
    user, place = np.nonzero(best.items)
    columns = {
        question.name: question.ids.take(pa.array(user)),
        question.item_column: question.item_ids.take(pa.array(best.items[user, place] - 1)),
        "rank": place + 1,
        "score": best.scores[user, place],
    }
    if best.interests is not None:
        columns["interest"] = interest = best.interests[user, place]
    if because:
        history = question.histories.histories(best.rows, best.attention.shape[1])
        largest = best.attention.argmax(axis=1)
        items = np.take_along_axis(history, largest, axis=1)[user, interest]
        nothing = (items == 0) | (best.attention.max(axis=1)[user, interest] == 0)
        columns["because"] = question.item_ids.take(pa.array(items - 1, mask=nothing))
    return pa.table(columns)


def interests(question: Question, best: Best) -> pa.Table:
    """One row per user and interest: its weight."""
    users, number = best.weights.shape
    return pa.table(
        {
            question.name: question.ids.take(pa.array(np.repeat(np.arange(users), number))),
            "interest": np.tile(np.arange(number), users),
            "weight": best.weights.ravel(),
        }
    )


def shares(question: Question, best: Best) -> pa.Table:
    """One row per item of a history and interest: what the item adds to the interest."""
    history = question.histories.histories(best.rows, best.attention.shape[1])
    user, column, interest = np.nonzero(
        np.broadcast_to(history[:, :, None] > 0, best.attention.shape)
    )
    length = np.count_nonzero(history, axis=1)
    return pa.table(
        {
            question.name: question.ids.take(pa.array(user)),
            "position": length[user] - column,
            question.item_column: question.item_ids.take(pa.array(history[user, column] - 1)),
            "interest": interest,
            "share": best.attention[user, column, interest],
        }
    )
