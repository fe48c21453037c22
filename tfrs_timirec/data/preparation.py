"""Turns a log into sequences: rating threshold, core, index, order in time."""

import ibis
import ibis.expr.types as ir
import numpy as np

from tfrs_timirec.config import DataSettings
from tfrs_timirec.data.store import Read, SequenceStore
from tfrs_timirec.errors import UserError

# Leave-one-out takes one interaction to train, one to validate and one to test.
_SHORTEST = 3


def prepare(log: ir.Table, settings: DataSettings) -> SequenceStore:
    """Turns a log into sequences, the same whatever the number of threads.

    Args:
        log: A row per interaction, as `readers.read_log` gives it.
        settings: The rating threshold and the core.

    Returns:
        The sequences of the users and items in the core, both sorted by id; interactions at the
        same time stay in the log's order.

    Raises:
        UserError: There is a threshold but no ratings, or nothing is left.
    """
    if settings.min_rating is not None and settings.rating_column is None:
        raise UserError(
            "data.min_rating is set but data.rating_column is not: set it to the rating's column."
        )
    log = _materialise(log)
    rated = log if settings.min_rating is None else log.filter(log.rating >= settings.min_rating)
    read = Read(_size(log), *_distinct(log, "user", "item"), _size(rated))
    users, items = _core(rated, settings.core)
    if not _size(users):
        raise UserError(
            f"Of {read.interactions} interactions read, {read.rated} are left by data.min_rating "
            f"and 0 by data.core ({settings.core}; {_SHORTEST} a user at least): lower data.core "
            "or data.min_rating."
        )
    users = _materialise(users.mutate(user_index=ibis.row_number().over(order_by="user")))
    items = _materialise(items.mutate(item_index=ibis.row_number().over(order_by="item") + 1))
    kept = rated.join(users, "user").join(items, "item")
    columns = {"item": kept.item_index.cast("int32")}
    order = [kept.user_index, kept.position]
    if "time" in log.columns:
        columns["time"] = kept.time.floor().cast("int64")
        order.insert(1, kept.time)
    steps = kept.order_by(order).select(**columns).to_pyarrow()
    users = users.order_by("user_index").to_pyarrow().combine_chunks()
    items = items.order_by("item_index").to_pyarrow().combine_chunks()
    return SequenceStore(
        offsets=np.concatenate([[0], np.cumsum(users["count"])]).astype(np.int64),
        items=steps["item"].to_numpy(),
        times=steps["time"].to_numpy() if "time" in columns else None,
        user_ids=users["user"].combine_chunks(),
        item_ids=items["item"].combine_chunks(),
        read=read,
    )


def _core(log: ir.Table, least: int) -> tuple[ir.Table, ir.Table]:
    """The users and the items of the core, each with its count of interactions within it.

    In turn the users that are frequent among the items so far, and the items that are frequent
    among those users: neither can gain any, so that the core is reached when no item goes. Only
    these two small tables are made each round, never a copy of the log.
    """
    items = _materialise(log.select("item").distinct())
    while True:
        users = _frequent(log.semi_join(items, "item"), "user", max(least, _SHORTEST))
        fewer = _frequent(log.semi_join(users, "user"), "item", least)
        if _size(fewer) == _size(items):
            return users, fewer
        items = fewer


def _frequent(log: ir.Table, column: str, least: int) -> ir.Table:
    counts = log.group_by(column).aggregate(count=log.count())
    return _materialise(counts.filter(counts["count"] >= least))


def _materialise(table: ir.Table) -> ir.Table:
    # Not Table.cache(), which drops its table when Python happens to collect it: by then the
    # connection may be closed.
    name = ibis.util.gen_name("prepare")
    return table.get_backend().create_table(name, table, temp=True)


def _distinct(table: ir.Table, *columns: str) -> list[int]:
    counts = table.aggregate(**{name: table[name].nunique() for name in columns}).to_pyarrow()
    return [counts[name][0].as_py() for name in columns]


def _size(table: ir.Table) -> int:
    return table.count().to_pyarrow().as_py()
