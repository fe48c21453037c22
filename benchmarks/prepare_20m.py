"""Prepares a generated CSV of 20 million interactions and tells its time and memory.

python -m benchmarks.prepare_20m [ROWS] [--text-ids]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

_LOAD = """
import json, sys
from tfrs_timirec.config import DataSettings
from tfrs_timirec.data import load
store = load(DataSettings(source=sys.argv[1], folder=sys.argv[2]), seed=0)
print(json.dumps([store.num_users, store.num_items, len(store.items)]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="?", type=int, default=20_000_000)
    parser.add_argument("--text-ids", action="store_true", help="ids of 14 and 10 characters")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log.csv")
        # Squared and cubed, so that a core has users and items to drop.
        user = f"CAST(random() ** 2 * {arguments.rows // 20} AS INT)"
        item = f"CAST(random() ** 3 * {arguments.rows // 100} AS INT)"
        if arguments.text_ids:
            user, item = f"format('A{{:013d}}', {user})", f"format('B{{:09d}}', {item})"
        with duckdb.connect() as connection:
            connection.execute("SET memory_limit = '1GB'")
            connection.execute(
                f"COPY (SELECT {user} AS user_id, {item} AS item_id, "
                "CAST(1500000000 + random() * 100000000 AS BIGINT) AS timestamp "
                f"FROM range({arguments.rows})) TO '{log}' (HEADER)"
            )
        begin = time.perf_counter()
        loaded = subprocess.run(
            [sys.executable, "-c", _LOAD, str(log), folder],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        seconds = time.perf_counter() - begin
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        users, items, interactions = json.loads(loaded.stdout)
        print(
            f"{arguments.rows:,} rows ({log.stat().st_size / 1e6:,.0f} MB) to {users:,} users, "
            f"{items:,} items and {interactions:,} interactions: {seconds:.0f} s, "
            f"{peak:.2f} GiB peak RSS"
        )


if __name__ == "__main__":
    main()
