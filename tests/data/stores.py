"""Small sequences by hand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from tfrs_timirec.data.store import SequenceStore
from tfrs_timirec.files import write_folder


def store_of(
    users: Sequence[Sequence[int]],
    num_items: int,
    times: Sequence[Sequence[int]] | None = None,
) -> SequenceStore:
    """The items, and perhaps the times, of each user."""
    return SequenceStore(
        offsets=np.cumsum([0] + [len(items) for items in users]),
        items=np.array([item for items in users for item in items], np.int32),
        times=None if times is None else np.array([t for of in times for t in of], np.int64),
        user_ids=pa.array(range(len(users))),
        item_ids=pa.array(range(num_items)),
    )


def save(store: SequenceStore, folder: Path, fingerprint: str) -> None:
    """Keeps them as a prepared log."""
    write_folder(folder, lambda written: store.write(written, fingerprint))
