"""Recommendations for more users than memory may hold, as Parquet files."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tfrs_timirec import answers, saving
from tfrs_timirec.data.engines import spark
from tfrs_timirec.data.instances import whole_histories
from tfrs_timirec.data.store import Blocks, SequenceStore
from tfrs_timirec.errors import UserError
from tfrs_timirec.files import locked, scratch, told, write_whole
from tfrs_timirec.recommender import Recommender
from tfrs_timirec.training.run import model_in

if TYPE_CHECKING:
    import pandas as pd

USERS_A_SHARD = 10_000
# Readers of Parquet folders pass over names with an underscore.
_ABOUT = "_recommendations.json"
# What a process of Spark must have as this one has, or its scores would be rounded otherwise.
_ENVIRONMENT = ("TF_CPP_MIN_LOG_LEVEL", "XLA_FLAGS", "ONEDNN_MAX_CPU_ISA")


def write_shards(
    folder: Path,
    out: Path,
    k: int,
    users: Path | None = None,
    engine: Literal["process", "spark"] = "process",
    master: str = "local[*]",
) -> int:
    """Writes the best items of users, shard by shard; shards that exist are skipped.

    A shard, `part-00000.parquet` and so on, has one row per recommendation: the user's and the
    item's column named as in the log, `rank` from 1, and `score`. Users come in the order in
    which they are kept.

    Args:
        folder: Of a run or a saved recommender.
        out: The folder of the shards.
        k: Items per user.
        users: A text file of the ids to recommend to, one per line; None recommends to all.
        engine: `spark` shares the shards out among tasks of Spark, whose machines see all these
            files under the same paths and have this package.
        master: The URL of Spark's master.

    Returns:
        How many users there are recommendations for.

    Raises:
        UserError: If the recommender or the file of users cannot be used, the folder has the
            recommendations of another command, which may be running, or Spark cannot be used.
    """
    model = model_in(folder)
    work = _Work(model, out, k, users, USERS_A_SHARD, saving.digest(model), time.time_ns())
    with locked(out):
        found = _by_spark(work, master) if engine == "spark" else _in_process(work)
    if work.wanted is not None and found < len(work.wanted):
        raise UserError(
            f"{users} has {len(work.wanted) - found} ids that are not users of the log: the others "
            f"have their recommendations in {out}."
        )
    return found


class _Work:
    """The shards of one command, in this process or in one of Spark's.

    Args:
        folder: Of the saved recommender.
        out: As for `write_shards`.
        k: As for `write_shards`.
        users: As for `write_shards`.
        size: Users a shard.
        digest: Of the recommender when the command began.
        began: When that was; what a process of Spark has loaded is for this command alone.
    """

    def __init__(
        self,
        folder: Path,
        out: Path,
        k: int,
        users: Path | None,
        size: int,
        digest: str,
        began: int,
    ):
        self._folder, self.out, self._k = folder.resolve(), out.resolve(), k
        self._users, self._size, self._digest = users and users.resolve(), size, digest
        self.arguments = (self._folder, self.out, k, self._users, size, digest, began)

    @property
    def num_written(self) -> int:
        """How many shards are there."""
        return len(list(self.out.glob("part-*.parquet")))

    @cached_property
    def recommender(self) -> Recommender:
        """Without its users."""
        return Recommender.load(self._folder, with_users=False)

    @cached_property
    def blocks(self) -> Blocks:
        """The users of each shard."""
        return Blocks(saving.sequences_in(self._folder), self._size)

    @cached_property
    def wanted(self) -> pa.Array | None:
        """The users that are asked for; None for all."""
        if self._users is None:
            return None
        return _wanted(self._users, self.recommender.sequences.user_ids.type)

    def begin(self) -> None:
        """Makes the folder, or checks that what is there came from the same command."""
        self.recommender.check_k(self._k)
        self.blocks  # noqa: B018 - a damaged one is told before anything is written
        _begin(self.out, self._digest, self._k, self.wanted)

    def write(self, number: int) -> int:
        """Writes a shard unless it is there; how many users there are recommendations for."""
        path = self.out / f"part-{number:05}.parquet"
        table = None
        with self._unchanged():
            store = self.blocks[number]
            asked = np.arange(store.num_users)
            if self.wanted is not None:
                asked = np.flatnonzero(pc.is_in(store.user_ids, self.wanted))
            if len(asked) and not path.exists():
                table = _recommended(self.recommender, store, asked, self._k)
        if table is not None:
            write_whole(path, lambda file: pq.write_table(table, file))
        return len(asked)

    @contextmanager
    def _unchanged(self) -> Iterator[None]:
        """Raises UserError if what was read in the block is not what the command began with."""
        try:
            yield
        finally:
            # Also where what was read looks damaged.
            if saving.digest(self._folder) != self._digest:
                raise UserError(
                    f"{self._folder} was saved anew meanwhile: delete {self.out}, and give the "
                    "same command again."
                )


@contextmanager
def _shown(work: _Work) -> Iterator[Callable[[], object]]:
    """A bar; what is given counts the shards that are written."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task("shards", total=len(work.blocks))
        yield lambda: progress.update(task, completed=work.num_written)


def _in_process(work: _Work) -> int:
    """Writes the shards; how many users there are recommendations for."""
    work.begin()
    found = 0
    with _shown(work) as show:
        for number in range(len(work.blocks)):
            found += work.write(number)
            show()
    return found


def _by_spark(work: _Work, master: str) -> int:
    """Writes the shards by tasks of Spark; how many users there are recommendations for."""
    environment = {
        f"spark.executorEnv.{name}": os.environ[name] for name in _ENVIRONMENT if name in os.environ
    }
    if master.startswith("local"):
        # Where this process was started in a checkout, the package is not installed.
        environment["spark.executorEnv.PYTHONPATH"] = str(Path(__file__).resolve().parents[1])
    with (
        scratch(work.out.parent, ".spark") as notes,
        spark.session(master, notes, environment) as session,
    ):
        work.begin()
        count = len(work.blocks)
        # Only the numbers go through Spark: a task reads and writes files by itself.
        numbers = session.range(0, count, numPartitions=count)
        written = numbers.mapInPandas(partial(_in_task, work.arguments), "users long")
        with _shown(work) as show, ThreadPoolExecutor(1) as pool:
            job = pool.submit(written.collect)
            try:
                while not job.done():
                    show()
                    time.sleep(0.1)
            except BaseException:
                session.sparkContext.cancelAllJobs()
                raise
            show()
        try:
            return sum(row["users"] for row in job.result())
        except spark.errors() as error:
            raise UserError(
                f"A task of Spark failed ({spark.reason(error)}): correct that and give the same "
                "command again; the shards that are written stay."
            ) from error


def _in_task(arguments: tuple, frames: Iterable["pd.DataFrame"]) -> Iterator["pd.DataFrame"]:
    """What a task of Spark does with the numbers of its shards."""
    import pandas as pd

    work = _work(*arguments)
    for frame in frames:
        yield pd.DataFrame({"users": [work.write(int(number)) for number in frame["id"]]})


# A process of Spark has many tasks, and loads the recommender for the first of them.
_work = lru_cache(maxsize=1)(_Work)


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
        lines = path.read_text(encoding="utf-8-sig").split("\n")
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
