"""The sequences that everything else works on, and how they are kept on disk."""

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tfrs_timirec.errors import UserError

_ABOUT, _ITEMS = "store.json", "items.parquet"


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


class Shard(NamedTuple):
    """The size of a part of the sequences.

    Args:
        users: Those that it has.
        interactions: Of these users.
    """

    users: int
    interactions: int


@dataclass(frozen=True, eq=False)
class SequenceStore:
    """The interactions of all users, each user's oldest first.

    Those of several shards are in files that are mapped into memory, from which the system may drop
    what it can read again.

    Args:
        offsets: int64 [users + 1]; user u's interactions are `offsets[u]:offsets[u + 1]`.
        items: int32 [interactions]; item indices from 1, since 0 is padding.
        times: int64 [interactions], in seconds or the log's own unit; None for a log without.
        user_ids: string or int64 [users]; the ids in the log.
        item_ids: string or int64 [items]; item index i has the id `item_ids[i - 1]`.
        interests: int32 [interactions]; the true interest of each step (synthetic data only).
        counts: int64 [items]; interactions of each item in training (in a trained recommender).
        read: What the log held; None for synthetic data.
        shards: What memory should hold at once, in the order of the users; None for everything.
    """

    offsets: np.ndarray
    items: np.ndarray
    times: np.ndarray | None
    user_ids: pa.Array
    item_ids: pa.Array
    interests: np.ndarray | None = None
    counts: np.ndarray | None = None
    read: Read | None = None
    shards: tuple[Shard, ...] | None = None

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

    @property
    def owners(self) -> np.ndarray:
        """int64 [interactions], the user of each."""
        return np.repeat(np.arange(self.num_users), np.diff(self.offsets))

    @property
    def num_parts(self) -> int:
        """How many shards there are."""
        return len(self.shards) if self.shards else 1

    def part(self, number: int) -> "SequenceStore":
        """The users of a shard; nothing is copied.

        Args:
            number: Of the shard, from 0.
        """
        if not self.shards:
            return self
        before = sum(shard.users for shard in self.shards[:number])
        users = slice(before, before + self.shards[number].users)
        offsets = self.offsets[users.start : users.stop + 1]
        steps = slice(int(offsets[0]), int(offsets[-1]))
        return replace(
            self,
            offsets=offsets - offsets[0],
            items=self.items[steps],
            times=None if self.times is None else self.times[steps],
            interests=None if self.interests is None else self.interests[steps],
            user_ids=self.user_ids[users],
            shards=None,
        )

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

        They are in one shard, and in memory.

        Args:
            before: What the earlier log gave.

        Raises:
            UserError: A user or an item of the earlier log is missing, or a user has fewer
                interactions than there.
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
            shards=None,
        ).in_the_catalogue_of(before)

    def write(self, folder: Path, fingerprint: str) -> None:
        """Writes the sequences as Parquet files into an empty folder.

        Args:
            folder: Where to.
            fingerprint: What the sequences were made from.

        Raises:
            OSError: If the disk is full, for instance.
        """
        files = shard_files(folder, self.num_parts)
        for number in range(self.num_parts):
            part = self.part(number)
            steps = {"item": part.items, "time": part.times, "interest": part.interests}
            users = {"id": part.user_ids, "length": np.diff(part.offsets)}
            for columns, name in ((steps, "interactions"), (users, "users")):
                pq.write_table(pa.table(_known(columns)), files[name][number], compression="zstd")
        items = pa.table(_known({"id": self.item_ids, "count": self.counts}))
        pq.write_table(items, folder / _ITEMS, compression="zstd")
        shards = self.shards or [Shard(self.num_users, len(self.items))]
        write_about(folder, fingerprint, self.read, shards)

    @classmethod
    def load(cls, folder: Path, with_users: bool = True) -> "SequenceStore":
        """Reads what `write` wrote.

        Args:
            folder: The folder that was given to `write`.
            with_users: False reads the catalogue alone.

        Returns:
            The same sequences, or the same catalogue without any user.

        Raises:
            UserError: A file is missing or damaged.
        """
        about = _checked_about(folder)
        files = shard_files(folder, len(about.shards))
        users = [_table(path, folder, with_users) for path in files["users"]]
        items = _table(folder / _ITEMS, folder)
        if with_users and len(about.shards) > 1:
            steps = _mapped(files["interactions"], about.shards, folder)
        else:
            steps = _columns(_table(files["interactions"][0], folder, with_users))
        lengths = np.concatenate([table["length"].to_numpy() for table in users])
        if lengths.sum() != len(steps["item"]):
            raise _damaged(files["interactions"][0], folder)
        return cls(
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            items=steps["item"],
            times=steps.get("time"),
            user_ids=_one(pa.concat_tables(users)["id"]),
            item_ids=_one(items["id"]),
            interests=steps.get("interest"),
            counts=items["count"].to_numpy() if "count" in items.column_names else None,
            read=about.read,
            shards=tuple(about.shards) if with_users and len(about.shards) > 1 else None,
        )


class Blocks(Sequence):
    """What `SequenceStore.write` wrote, some users at a time; only those are in memory.

    A block has users of one shard: `size` of them, or the last ones of the shard. It is a
    `SequenceStore` with the whole catalogue. Reading one raises UserError if a file is damaged.

    Args:
        folder: The folder that was given to `SequenceStore.write`.
        size: Users a block.

    Raises:
        UserError: A file is missing or damaged.
    """

    def __init__(self, folder: Path, size: int):
        self._folder = folder
        self._size = size
        shards = _checked_about(folder).shards
        self._files = shard_files(folder, len(shards))
        self._item_ids = _one(_table(folder / _ITEMS, folder)["id"])
        self._blocks = [
            (shard, first)
            for shard, (users, _) in enumerate(shards)
            for first in range(0, users, size)
        ]
        self._shard, self._users = -1, pa.table({})

    def __len__(self) -> int:
        return len(self._blocks)

    def __getitem__(self, number: int) -> SequenceStore:
        shard, first = self._blocks[number]
        if shard != self._shard:
            self._shard = shard
            self._users = _table(self._files["users"][shard], self._folder)
            self._ends = np.cumsum(self._users["length"].to_numpy())
        users = self._users.slice(first, self._size)
        lengths = users["length"].to_numpy()
        end = int(self._ends[first + len(users) - 1])
        begin = end - int(lengths.sum())
        path = self._files["interactions"][shard]
        try:
            with pq.ParquetFile(path) as file:
                steps = _columns(_rows(file, begin, end))
        except (OSError, pa.ArrowException) as error:
            raise _damaged(path, self._folder) from error
        if len(steps["item"]) != end - begin:
            raise _damaged(path, self._folder)
        return SequenceStore(
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            items=steps["item"],
            times=steps.get("time"),
            user_ids=_one(users["id"]),
            item_ids=self._item_ids,
        )


def _rows(file: pq.ParquetFile, begin: int, end: int) -> pa.Table:
    """The rows of a Parquet file from `begin` to `end`; only their groups of rows are read."""
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    ends = np.cumsum(sizes)
    first = int(np.searchsorted(ends, begin, "right"))
    last = int(np.searchsorted(ends, end, "left"))
    groups = list(range(first, min(last, len(sizes) - 1) + 1))
    before = int(ends[first - 1]) if first else 0
    return file.read_row_groups(groups).slice(begin - before, end - begin)


def shard_files(folder: Path, count: int) -> dict[str, list[Path]]:
    """The files of each shard.

    Args:
        folder: Of the sequences.
        count: How many shards there are.

    Returns:
        `interactions` and `users`, a file a shard.
    """
    endings = [""] if count == 1 else [f"-{number:05}" for number in range(count)]
    return {
        name: [folder / f"{name}{ending}.parquet" for ending in endings]
        for name in ("interactions", "users")
    }


def write_about(folder: Path, fingerprint: str, read: Read | None, shards: Sequence[Shard]) -> None:
    """Writes, last, what is in the other files, by which a lost or foreign one is noticed.

    Args:
        folder: Where they are.
        fingerprint: What they were made from.
        read: What the log held.
        shards: The size of each.
    """
    digests = {path.name: file_digest(path) for path in sorted(folder.iterdir())}
    about = {"fingerprint": fingerprint, "read": read, "shards": shards, "files": digests}
    (folder / _ABOUT).write_text(json.dumps(about))


def _table(path: Path, folder: Path, with_rows: bool = True) -> pa.Table:
    try:
        return pq.read_table(path) if with_rows else pq.read_schema(path).empty_table()
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, folder) from error


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks()


def _columns(table: pa.Table) -> dict[str, np.ndarray]:
    return {name: table[name].to_numpy() for name in table.column_names}


def _mapped(files: Sequence[Path], shards: Sequence[Shard], folder: Path) -> dict[str, np.ndarray]:
    """The columns of all files, in files without a name that are mapped into memory."""
    count = sum(shard.interactions for shard in shards)
    found: dict[str, np.ndarray] = {}
    place = 0
    for path, (_, interactions) in zip(files, shards, strict=True):
        columns = _columns(_table(path, folder))
        for name, values in columns.items():
            if len(values) != interactions:
                raise _damaged(path, folder)
            if name not in found:
                found[name] = _unnamed(folder, values.dtype, count)
            found[name][place : place + interactions] = values
        place += interactions
    return found


def _unnamed(folder: Path, dtype: np.dtype, count: int) -> np.ndarray:
    """An array in a file that is gone with the process, whatever ends it."""
    size = dtype.itemsize * count
    # A saved recommender may be where nobody may write.
    for place in (folder, Path(tempfile.gettempdir())):
        with suppress(OSError), tempfile.TemporaryFile(dir=place) as file:
            # Now, for a full disk would end the process where it is written to.
            os.posix_fallocate(file.fileno(), 0, size)
            return np.asarray(np.memmap(file, dtype, "r+", shape=(count,)))
    raise UserError(
        f"There is no room for {size / 2**30:.1f} GiB beside {folder} or in "
        f"{tempfile.gettempdir()}: make room, or set TMPDIR to a folder that has it."
    )


def file_digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _About(NamedTuple):
    """What is known of a folder of sequences."""

    read: Read | None
    shards: list[Shard]


def _checked_about(folder: Path) -> _About:
    """What was saved beside the files, which are checked: Parquet would read other numbers."""
    path = folder / _ABOUT
    try:
        about = json.loads(path.read_text())
        for name, digest in about["files"].items():
            path = folder / name
            if file_digest(path) != digest:
                raise ValueError
        path = folder / _ABOUT
        read = Read(*about["read"]) if about.get("read") else None
        if "shards" in about:
            return _About(read, [Shard(*shard) for shard in about["shards"]])
        # Those of older versions are one.
        (users,), (steps,) = shard_files(folder, 1).values()
        rows = [pq.read_metadata(file).num_rows for file in (steps, users)]
        return _About(read, [Shard(*rows)])
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
        f"{path} is missing or damaged: restore it or, if it was prepared from a log, delete the "
        f"folder {folder} and run again."
    )
