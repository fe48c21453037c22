"""The sequences that everything else works on, and how they are kept on disk."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tfrs_timirec.errors import UserError
from tfrs_timirec.files import write_folder


class Read(NamedTuple):
    """What a log held before anything was dropped.

    Args:
        interactions: Its rows.
        users: How many had them.
        items: How many were in them.
        rated: The interactions that `data.min_rating` keeps.
    """

    interactions: int
    users: int
    items: int
    rated: int


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
        counts: int64 [items]; interactions of each item in training (in a trained recommender).
        read: What the log held; None for synthetic data.
    """

    offsets: np.ndarray
    items: np.ndarray
    times: np.ndarray | None
    user_ids: pa.Array
    item_ids: pa.Array
    interests: np.ndarray | None = None
    counts: np.ndarray | None = None
    read: Read | None = None

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

    def in_the_catalogue_of(self, before: "SequenceStore") -> "SequenceStore":
        """The same sequences in another catalogue, which comes first, then what it lacks.

        Args:
            before: Whose catalogue.

        Raises:
            UserError: The ids of the items are of another type there.
        """
        _check_type(self.item_ids, before.item_ids, "items")
        new = pc.invert(pc.is_in(self.item_ids, before.item_ids))
        item_ids = pa.concat_arrays([before.item_ids, self.item_ids.filter(new)])
        index = pc.index_in(self.item_ids, item_ids).to_numpy().astype(np.int32) + 1
        return replace(self, items=index[self.items - 1], item_ids=item_ids)

    def after(self, before: "SequenceStore") -> "SequenceStore":
        """The same sequences, with the users and items of an earlier log at their old places.

        Args:
            before: What the earlier log gave.

        Raises:
            UserError: A user, an item or an interaction of the earlier log is missing.
        """
        _check_kept(self.item_ids, before.item_ids, "items")
        kept = _check_kept(self.user_ids, before.user_ids, "users")
        users = np.concatenate([kept, np.setdiff1d(np.arange(self.num_users), kept)])
        lengths = np.diff(self.offsets)[users]
        fewer = lengths[: before.num_users] < np.diff(before.offsets)
        if fewer.any():
            user = before.user_ids[int(fewer.argmax())].as_py()
            raise UserError(
                f"The log lacks interactions of the user {user!r} that were there before: give all "
                "interactions, old and new."
            )
        ends = np.cumsum(lengths)
        begin = self.offsets[:-1][users]
        places = np.arange(len(self.items)) + np.repeat(begin - ends + lengths, lengths)
        return replace(
            self,
            offsets=np.concatenate([[0], ends]),
            items=self.items[places],
            times=None if self.times is None else self.times[places],
            interests=None if self.interests is None else self.interests[places],
            user_ids=self.user_ids.take(pa.array(users)),
        ).in_the_catalogue_of(before)

    def save(self, folder: Path, fingerprint: str) -> None:
        """Keeps the sequences as Parquet files; the folder appears only once it is complete.

        Args:
            folder: Where to; replaced if it exists.
            fingerprint: What the sequences were made from.

        Raises:
            UserError: If the disk is full, for instance; what was there is untouched.
        """
        write_folder(folder, lambda written: self.write(written, fingerprint))

    def write(self, folder: Path, fingerprint: str) -> None:
        """Writes what `save` keeps into an empty folder.

        Args:
            folder: Where to.
            fingerprint: What the sequences were made from.

        Raises:
            OSError: If the disk is full, for instance.
        """
        interactions = {"item": self.items, "time": self.times, "interest": self.interests}
        items = {"id": self.item_ids, "count": self.counts}
        tables = {
            "interactions": _known(interactions),
            "users": {"id": self.user_ids, "length": np.diff(self.offsets)},
            "items": _known(items),
        }
        for name, columns in tables.items():
            pq.write_table(pa.table(columns), folder / f"{name}.parquet", compression="zstd")
        digests = {path.name: file_digest(path) for path in sorted(folder.iterdir())}
        about = {"fingerprint": fingerprint, "read": self.read, "files": digests}
        (folder / "store.json").write_text(json.dumps(about))

    @classmethod
    def load(cls, folder: Path, with_users: bool = True) -> "SequenceStore":
        """Reads what `save` kept.

        Args:
            folder: The folder that was given to `save`.
            with_users: False reads the catalogue alone.

        Returns:
            The same sequences, or the same catalogue without any user.

        Raises:
            UserError: A file is missing or damaged.
        """
        about = _checked_about(folder)
        tables = {}
        for name in ("interactions", "users", "items"):
            path = folder / f"{name}.parquet"
            try:
                empty = not with_users and name != "items"
                table = pq.read_schema(path).empty_table() if empty else pq.read_table(path)
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
            counts=items["count"].to_numpy() if "count" in items else None,
            read=Read(*about["read"]) if about.get("read") else None,
        )

    @classmethod
    def blocks(cls, folder: Path, size: int) -> Iterator["SequenceStore"]:
        """Reads what `save` kept, some users at a time; only those are in memory.

        Args:
            folder: The folder that was given to `save`.
            size: Users a block.

        Yields:
            The next `size` users with their interactions, and the whole catalogue.

        Raises:
            UserError: A file is missing or damaged.
        """
        _checked_about(folder)
        path = folder / "items.parquet"
        try:
            item_ids = pq.read_table(path)["id"].combine_chunks()
            path = folder / "users.parquet"
            with pq.ParquetFile(path) as users:
                path = folder / "interactions.parquet"
                with pq.ParquetFile(path) as interactions:
                    steps = _Rows(interactions)
                    for block in users.iter_batches(size):
                        lengths = block["length"].to_numpy()
                        of_block = steps.take(int(lengths.sum()))
                        if len(of_block) < lengths.sum():
                            raise _damaged(path, folder)
                        has_times = "time" in of_block.column_names
                        yield cls(
                            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
                            items=of_block["item"].to_numpy(),
                            times=of_block["time"].to_numpy() if has_times else None,
                            user_ids=block["id"],
                            item_ids=item_ids,
                        )
        except (OSError, pa.ArrowException) as error:
            raise _damaged(path, folder) from error


class _Rows:
    """The rows of a Parquet file, some at a time."""

    def __init__(self, file: pq.ParquetFile):
        self._batches = file.iter_batches()
        self._left = file.schema_arrow.empty_table()

    def take(self, count: int) -> pa.Table:
        """The next `count` rows, or those that are left."""
        tables = [self._left]
        while sum(map(len, tables)) < count and (batch := next(self._batches, None)) is not None:
            tables.append(pa.Table.from_batches([batch]))
        table = pa.concat_tables(tables)
        self._left = table.slice(count)
        return table.slice(0, count).combine_chunks()


def file_digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checked_about(folder: Path) -> dict:
    """What was saved beside the files, which are checked: Parquet would read other numbers."""
    path = folder / "store.json"
    try:
        about = json.loads(path.read_text())
        for name, digest in about["files"].items():
            path = folder / name
            if file_digest(path) != digest:
                raise ValueError
        return about
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, folder) from error


def _check_kept(ids: pa.Array, before: pa.Array, what: str) -> np.ndarray:
    """int64 [before]: where each id of before is; raises UserError if one is missing."""
    _check_type(ids, before, what)
    places = pc.index_in(before, ids)
    if places.null_count:
        missing = before.filter(places.is_null())
        raise UserError(
            f"The log lacks {len(missing)} {what} that were there before, the first of them "
            f"{missing[0].as_py()!r}: give all interactions, old and new."
        )
    return places.to_numpy().astype(np.int64)


def _check_type(ids: pa.Array, before: pa.Array, what: str) -> None:
    if ids.type != before.type:
        raise UserError(
            f"The ids of the {what} are {ids.type} in this log and {before.type} in the one "
            "before: give the same ids."
        )


def _known(columns: dict) -> dict:
    return {name: values for name, values in columns.items() if values is not None}


def _damaged(path: Path, folder: Path) -> UserError:
    return UserError(
        f"{path} is missing or damaged: delete the folder {folder} and run again to prepare it "
        "anew."
    )
