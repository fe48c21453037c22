"""The sequences that everything else works on, and how they are kept on disk."""

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tfrs_timirec.errors import UserError


@dataclass(frozen=True, eq=False)
class SequenceStore:
    """The interactions of all users, each user's oldest first.

    Args:
        offsets: int64 [users + 1]; user u's interactions are `offsets[u]:offsets[u + 1]`.
        items: int32 [interactions]; item indices from 1, since 0 is padding.
        times: int64 [interactions], in seconds or the log's own unit; None for a log without.
        user_ids: string or int64 [users]; the ids in the log.
        item_ids: string or int64 [items]; item index i has the id `item_ids[i - 1]`.
        interests: int32 [interactions]; the true interest of each step (synthetic data only).
    """

    offsets: np.ndarray
    items: np.ndarray
    times: np.ndarray | None
    user_ids: pa.Array
    item_ids: pa.Array
    interests: np.ndarray | None = None

    @property
    def num_users(self) -> int:
        """How many users there are."""
        return len(self.user_ids)

    @property
    def num_items(self) -> int:
        """How many items there are, without the padding."""
        return len(self.item_ids)

    @property
    def digest(self) -> str:
        """The SHA-256 of the sequences: other sequences have another one."""
        digest = hashlib.sha256(np.ascontiguousarray(self.offsets))
        digest.update(np.ascontiguousarray(self.items))
        if self.times is not None:
            digest.update(np.ascontiguousarray(self.times))
        return digest.hexdigest()

    def save(self, folder: Path, fingerprint: str) -> None:
        """Keeps the sequences as Parquet files; the folder appears only once it is complete.

        Args:
            folder: Where to; replaced if it exists.
            fingerprint: What the sequences were made from.
        """
        interactions = {"item": self.items, "time": self.times, "interest": self.interests}
        tables = {
            "interactions": {k: v for k, v in interactions.items() if v is not None},
            "users": {"id": self.user_ids, "length": np.diff(self.offsets)},
            "items": {"id": self.item_ids},
        }
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".store-") as scratch:
            written = Path(scratch) / "store"
            written.mkdir()
            for name, columns in tables.items():
                pq.write_table(pa.table(columns), written / f"{name}.parquet", compression="zstd")
            (written / "store.json").write_text(json.dumps({"fingerprint": fingerprint}))
            if folder.exists():
                shutil.rmtree(folder)
            os.replace(written, folder)

    @classmethod
    def load(cls, folder: Path) -> "SequenceStore":
        """Reads what `save` kept.

        Args:
            folder: The folder that was given to `save`.

        Returns:
            The same sequences.

        Raises:
            UserError: A file is missing or damaged.
        """
        tables = {}
        for name in ("interactions", "users", "items"):
            path = folder / f"{name}.parquet"
            try:
                table = pq.read_table(path)
            except (OSError, pa.ArrowException) as error:
                raise _damaged(path, folder) from error
            tables[name] = {k: table[k].combine_chunks() for k in table.column_names}
        interactions, users, items = tables.values()
        lengths = users["length"].to_numpy()
        steps = {name: values.to_numpy() for name, values in interactions.items()}
        if lengths.sum() != len(steps["item"]):
            raise _damaged(folder / "interactions.parquet", folder)
        return cls(
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            items=steps["item"],
            times=steps.get("time"),
            user_ids=users["id"],
            item_ids=items["id"],
            interests=steps.get("interest"),
        )


def _damaged(path: Path, folder: Path) -> UserError:
    return UserError(
        f"{path} is missing or damaged: delete the folder {folder} and run again to prepare it "
        "anew."
    )
