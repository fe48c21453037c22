"""Turns a log into sequences: rating threshold, core, index, order in time."""

from pathlib import Path

import ibis
import ibis.expr.types as ir

from tfrs_timirec.config import DataSettings
from tfrs_timirec.data.engines import Engine
from tfrs_timirec.data.store import Read, Shard, shard_files, write_about
from tfrs_timirec.errors import UserError

# Leave-one-out takes one interaction to train, one to validate and one to test.
_SHORTEST = 3


def prepare(
    log: ir.Table, settings: DataSettings, engine: Engine, folder: Path, fingerprint: str
) -> None:
    """Turns a log into sequences, the same whatever the engine and the number of threads.

    They are of the users and items in the core, both sorted by id; interactions at the same time
    stay in the log's order.

    Args:
        log: A row per interaction, as `readers.read_log` gives it.
        settings: The rating threshold, the core, and the interactions of a shard.
        engine: What the log is read with.
        folder: Where `SequenceStore.load` will find them; empty.
        fingerprint: What they are made from.

    Raises:
        UserError: There is a threshold but no ratings, or nothing is left.
    """
    if settings.min_rating is not None and settings.rating_column is None:
        raise UserError(
            "data.min_rating is set but data.rating_column is not: set it to the rating's column."
        )
    if settings.min_rating is not None and "rating" not in log.columns:
        raise UserError(
            "data.min_rating is set, but a log of sequences has no ratings: leave it out."
        )
    log = engine.materialise(log)
    rated = log if settings.min_rating is None else log.filter(log.rating >= settings.min_rating)
    read = Read(_size(log), *_distinct(log, "user", "item"), _size(rated))
    users, items = _core(rated, settings.core, engine)
    if not _size(users):
        raise UserError(
            f"Of {read.interactions} interactions read, {read.rated} are left by data.min_rating "
            f"and 0 by data.core ({settings.core}; {_SHORTEST} a user at least): lower data.core "
            "or data.min_rating."
        )
    before = users["count"].cumsum(order_by="user").cast("int64") - users["count"]
    users = engine.materialise(
        users.mutate(
            user_index=ibis.row_number().over(order_by="user"),
            shard=before // settings.shard_size,
        )
    )
    items = engine.materialise(
        items.mutate(item_index=ibis.row_number().over(order_by="item"), shard=0)
    )
    kept = rated.join(users, "user").join(items.drop("shard", "count"), "item")
    kept = kept.mutate(step=(kept.item_index + 1).cast("int32"))
    columns, order = {"item": "step"}, ["user_index", "position"]
    if "time" in log.columns:
        # Whole numbers would lose digits: DuckDB rounds them as floating-point numbers. What is not
        # whole is a decimal where Spark has divided.
        second = kept.time if kept.time.type().is_integer() else kept.time.floor()
        kept = kept.mutate(second=second.cast("int64"))
        columns["time"] = "second"
        order.insert(1, "time")
    numbers, shards = _shards(users)
    files = shard_files(folder, len(shards))
    of = {name: dict(zip(numbers, paths, strict=True)) for name, paths in files.items()}
    engine.write_shards(kept, order, columns, of["interactions"])
    engine.write_shards(users, ["user_index"], {"id": "user", "length": "count"}, of["users"])
    engine.write_shards(items, ["item_index"], {"id": "item"}, {0: folder / "items.parquet"})
    write_about(folder, fingerprint, read, shards)


def _shards(users: ir.Table) -> tuple[list[int], list[Shard]]:
    """The numbers of the shards, ascending but perhaps with gaps, and their sizes."""
    sizes = users.group_by("shard").aggregate(users=users.count(), steps=users["count"].sum())
    rows = sorted(sizes.to_pyarrow().to_pylist(), key=lambda row: row["shard"])
    shards = [Shard(int(row["users"]), int(row["steps"])) for row in rows]
    return [int(row["shard"]) for row in rows], shards


def _core(log: ir.Table, least: int, engine: Engine) -> tuple[ir.Table, ir.Table]:
    """The users and the items of the core, each with its count of interactions within it.

    In turn the users that are frequent among the items so far, and the items that are frequent
    among those users: neither can gain any, so that the core is reached when no item goes. Only
    these two small tables are made each round, never a copy of the log.
    """
    items = engine.materialise(log.select("item").distinct())
    while True:
        users = _frequent(log.semi_join(items, "item"), "user", max(least, _SHORTEST), engine)
        fewer = _frequent(log.semi_join(users, "user"), "item", least, engine)
        if _size(fewer) == _size(items):
            return users, fewer
        items = fewer


def _frequent(log: ir.Table, column: str, least: int, engine: Engine) -> ir.Table:
    counts = log.group_by(column).aggregate(count=log.count())
    return engine.materialise(counts.filter(counts["count"] >= least))


def _distinct(table: ir.Table, *columns: str) -> list[int]:
    counts = table.aggregate(**{name: table[name].nunique() for name in columns}).to_pyarrow()
    return [counts[name][0].as_py() for name in columns]


def _size(table: ir.Table) -> int:
    return table.count().to_pyarrow().as_py()
