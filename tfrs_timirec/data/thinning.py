"""Leaves items out of the histories of a batch, so that a training meets others in each epoch."""

import numpy as np


def thinned(
    batch: dict[str, np.ndarray], share: float, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """A batch without some items of its histories, drawn anew each time.

    Where the newest is left out, the target follows an older one, so that a model learns what
    comes two or three items later, too. (As the crop and mask of CL4SRec, Xie et al., ICDE 2022,
    section III-B, in the objective itself.)

    Args:
        batch: What `tfrs_timirec.data.instances.training_batches` or
            `tfrs_timirec.data.windows.window_batches` yields. The targets of a window are those of
            its items that stay, and the one after it.
        share: The probability of each item to be left out, below 1; a history's newest stays where
            no other does.
        rng: Draws.

    Returns:
        The same arrays, with zeros after the items that stay; the negatives are those of the batch.
    """
    history, by_user = batch["history"], batch["positive"].ndim > 1
    rows = np.arange(len(history))
    length = np.count_nonzero(history, axis=1)
    stays = (rng.random(history.shape) >= share) & (history > 0)
    stays[rows, length - 1] |= ~stays.any(axis=1)
    # Stable: those that stay come first, in their order.
    order = np.argsort(~stays, axis=1, kind="stable")
    left = stays.sum(axis=1)
    inside = np.arange(history.shape[1]) < left[:, None]
    of_items = ["history", "times", "weight"] if by_user else ["history", "times"]
    new = {
        name: np.where(inside, np.take_along_axis(batch[name], order, axis=1), 0)
        for name in of_items
        if name in batch
    }
    if by_user:
        new["positive"] = np.pad(new["history"][:, 1:], ((0, 0), (0, 1)))
        new["positive"][rows, left - 1] = batch["positive"][rows, length - 1]
    return {**batch, **new}
