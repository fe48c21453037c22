"""Recommendations for more users than memory may hold, as Parquet files."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tfrs_timirec import answers, saving
from tfrs_timirec.data.instances import whole_histories
from tfrs_timirec.data.store import SequenceStore
from tfrs_timirec.errors import UserError
from tfrs_timirec.files import locked, told, write_whole
from tfrs_timirec.recommender import Recommender
from tfrs_timirec.training.run import model_in

USERS_A_SHARD = 10_000
# Readers of Parquet folders pass over names with an underscore.
_ABOUT = "_recommendations.json"


def write_shards(folder: Path, out: Path, k: int, users: Path | None = None) -> int:
    """Writes the best items of users, shard by shard; shards that exist are skipped.

    A shard, `part-00000.parquet` and so on, has one row per recommendation: the user's and the
    item's column named as in the log, `rank` from 1, and `score`. Users come in the order in
    which they are kept.

    Args:
        folder: Of a run or a saved recommender.
        out: The folder of the shards.
        k: Items per user.
        users: A text file of the ids to recommend to, one per line; None recommends to all.

    Returns:
        How many users there are recommendations for.

    Raises:
        UserError: If the recommender or the file of users cannot be used, or the folder has
            the recommendations of another command, which may be running.
    """
    folder = model_in(folder)
    recommender = Recommender.load(folder, with_users=False)
    kept = saving.sequences_in(folder)
    id_type = pq.read_schema(kept / "users.parquet").field("id").type
    wanted = None if users is None else _wanted(users, id_type)
    with locked(out):
        _begin(out, saving.digest(folder), k, wanted)
        found = _write(recommender, kept, out, k, wanted)
    if wanted is not None and found < len(wanted):
        raise UserError(
            f"{users} has {len(wanted) - found} ids that are not users of the log: the others have "
            f"their recommendations in {out}."
        )
    return found


def _write(recommender: Recommender, kept: Path, out: Path, k: int, wanted: pa.Array | None) -> int:
    """Writes the shards that are not there; how many users there are recommendations for."""
    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    ]
    found = 0
    with Progress(*columns, console=Console(stderr=True)) as progress:
        rows = pq.read_metadata(kept / "users.parquet").num_rows
        task = progress.add_task("users", total=rows)
        for number, store in enumerate(SequenceStore.blocks(kept, USERS_A_SHARD)):
            asked = np.arange(store.num_users)
            if wanted is not None:
                asked = np.flatnonzero(pc.is_in(store.user_ids, wanted))
            shard = out / f"part-{number:05}.parquet"
            if len(asked) and not shard.exists():
                table = _recommended(recommender, store, asked, k)
                write_whole(shard, lambda file, table=table: pq.write_table(table, file))
            found += len(asked)
            progress.advance(task, store.num_users)
    return found


def _recommended(
    recommender: Recommender, store: SequenceStore, users: np.ndarray, k: int
) -> pa.Table:
    settings = recommender.settings
    length = settings.model.history_length
    question = answers.Question(
        whole_histories(store, users, length),
        settings.data.user_column,
        store.user_ids.take(pa.array(users)),
        settings.data.item_column,
        store.item_ids,
    )
    best = answers.in_order(recommender.best(question.histories, k), length)
    return answers.recommendations(question, best)


def _wanted(path: Path, type_: pa.DataType) -> pa.Array:
    """The distinct ids in a text file."""
    try:
        lines = path.read_text().split("\n")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text: give a text file of user ids.") from None
    ids = [line.rstrip("\r") for line in lines if line.strip()]
    if not ids:
        raise UserError(f"{path} has no ids: give one user id per line.")
    try:
        return pc.unique(pa.array(ids).cast(type_))
    except pa.ArrowInvalid:
        raise UserError(
            f"{path} has ids that are no integers, as those of the log are: correct them."
        ) from None


def _begin(out: Path, digest: str, k: int, wanted: pa.Array | None) -> None:
    """Makes the folder, or checks that what is there came from the same command."""
    users = (
        None if wanted is None else hashlib.sha256(repr(wanted.to_pylist()).encode()).hexdigest()
    )
    of = {"model": digest, "k": k, "users": users}
    path = out / _ABOUT
    if path.exists():
        try:
            there = json.loads(path.read_text())
        except ValueError:
            raise UserError(f"{path} is damaged: delete the folder, or name another one.") from None
        if there != of:
            raise UserError(
                f"{out} has recommendations of another model, k or list of users: name another "
                "folder, or delete it."
            )
        return
    beginning = out.is_dir() and all(left.suffix == ".part" for left in out.iterdir())
    if out.exists() and not beginning:
        raise UserError(f"{out} exists and is not a folder of recommendations: name another one.")
    with told(out):
        out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(of) + "\n"
    write_whole(path, lambda file: file.write(text.encode()))
