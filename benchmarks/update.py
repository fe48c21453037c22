"""Measures an update against a training from scratch: time, and HR@10 on the last users' targets.

python -m benchmarks.update --config configs/beauty.yaml --data.source LOG.csv [any training flag]

Trains on the first nine tenths of the interactions in time, updates with the whole log, and trains
anew on it. Then both rank the last item of all users.
"""

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import duckdb
from rich.console import Console
from rich.table import Table

from tfrs_timirec.config import Settings, settings_of, settings_parser
from tfrs_timirec.errors import run_command

SHARE = 0.9


def main() -> None:
    run_command(_main)


def _main() -> None:
    parser = settings_parser(sys.argv[1:], prog="python -m benchmarks.update", description=__doc__)
    measure(settings_of(parser.parse_args()))


def measure(settings: Settings) -> None:
    """Prints the time, HR@10 and NDCG@10 of both, and how many new items are recommended."""
    from tfrs_timirec import Recommender

    with tempfile.TemporaryDirectory() as folder:
        early = Path(folder, "early.csv")
        log = duckdb.read_csv(settings.data.source)
        time_of = duckdb.ColumnExpression(settings.data.time_column)
        share = duckdb.ConstantExpression(SHARE)
        point = log.aggregate([duckdb.FunctionExpression("quantile_disc", time_of, share)])
        before = time_of < duckdb.ConstantExpression(point.fetchall()[0][0])
        log.filter(before).write_csv(str(early))
        seconds = {}

        def timed(name, call):
            began = time.perf_counter()
            call()
            seconds[name] = time.perf_counter() - began

        updated = Recommender.from_settings(
            replace(settings, data=replace(settings.data, folder=folder))
        )
        scratch = Recommender.from_settings(updated.settings)
        timed("trained on the first 90 %", lambda: updated.fit(early))
        before = updated.sequences.num_items, updated.sequences.num_users
        timed("updated", lambda: updated.update(settings.data.source))
        timed("trained from scratch", lambda: scratch.fit(settings.data.source))
        figures = {
            "updated": updated.evaluate(),
            "trained from scratch": scratch.evaluate(),
        }
        new = updated.sequences.item_ids.to_pylist()[before[0] :]
        best = updated.recommend(users=updated.sequences.user_ids.to_pylist(), k=10)
        shown = best[best[settings.data.item_column].isin(new)]
    table = Table("", "seconds", "HR@10", "NDCG@10", "HR@10, whole catalogue")
    for name, took in seconds.items():
        cells = []
        if name in figures:
            found = list(figures[name]["test"].values())[-1]
            cells = [found["sampled"]["HR@10"], found["sampled"]["NDCG@10"], found["full"]["HR@10"]]
        table.add_row(name, f"{took:.1f}", *(f"{value:.4f}" for value in cells))
    Console(width=100).print(table)
    print(
        f"{len(new):,} new items of {updated.sequences.num_items:,}, "
        f"{updated.sequences.num_users - before[1]:,} new users; {shown.iloc[:, 1].nunique():,} "
        f"new items are in {len(shown):,} of {len(best):,} recommendations."
    )


if __name__ == "__main__":
    main()
