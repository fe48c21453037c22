"""The training targets user by user: windows of items, each the history of the next."""

from collections.abc import Callable, Iterator

import numpy as np

from tfrs_timirec.data.instances import Instances, positions, rounded_up
from tfrs_timirec.data.sampling import UntouchedItems
from tfrs_timirec.data.splits import Split
from tfrs_timirec.data.store import SequenceStore


def _windows(targets: np.ndarray, max_length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The windows of users who have so many targets, int64 [users], one user's after the other's.

    Returns:
        int64 [windows] each: the user, how many targets come before it, and how many it has.
    """
    users, number = positions(np.zeros_like(targets), -(-targets // max_length))
    before = number * max_length
    return users, before, np.minimum(max_length, targets[users] - before)


def training_windows(store: SequenceStore, split: Split, max_length: int) -> Instances:
    """Each user's training part, cut into windows of at most L items; each has a next one.

    Args:
        store: The users' sequences.
        split: Where the training parts end.
        max_length: L.

    Returns:
        Instances whose history is the window, and whose target is the item after it.
    """
    first = store.offsets[:-1]
    targets = np.maximum(split.training_end - first - 1, 0)
    users, before, lengths = _windows(targets, max_length)
    begin = first[users] + before
    end = begin + lengths
    return Instances(store.items, users, begin, end, end, end + 1, max_length, store.times)


def window_batches(
    windows: Instances,
    untouched: UntouchedItems,
    rows: Callable[[int], int],
    rng: np.random.Generator,
) -> Iterator[dict[str, np.ndarray]]:
    """An epoch's inputs of the loss, shuffled, with new negatives.

    Args:
        windows: Those of `training_windows`.
        untouched: Where negatives are drawn from.
        rows: How many windows a batch of a width has.
        rng: Shuffles and draws.

    Yields:
        `history` int32 [rows, width], `times` int64 [rows, width] if the windows have them,
        `positive` and `negative` int32 [rows, width], the item after each of the history and one
        to tell it from, and `weight` float32 [rows, width], 0 where there is none.
    """
    for chosen, width in windows.batches(rows, rng):
        filled = np.resize(chosen, rows(width))
        users = np.repeat(windows.users[filled], width)
        length = windows.end[filled] - windows.begin[filled]
        real = np.arange(width) < length[:, None]
        real[len(chosen) :] = False
        yield {
            **windows.inputs(filled, width),
            "positive": windows.next_items(filled, width),
            "negative": untouched.draw(users, rng).reshape(-1, width),
            "weight": real.astype(np.float32),
        }


def num_window_batches(targets: np.ndarray, max_length: int, rows: Callable[[int], int]) -> int:
    """How many batches `window_batches` makes.

    Args:
        targets: int64 [users], the training targets of each user.
        max_length: L.
        rows: How many windows a batch of a width has.
    """
    _, _, lengths = _windows(targets, max_length)
    batches = left = 0
    widths, counts = np.unique(rounded_up(lengths, max_length), return_counts=True)
    for width, count in zip(widths.tolist(), counts.tolist(), strict=True):
        full, left = divmod(left + count, rows(width))
        batches += full
    return batches + (left > 0)
