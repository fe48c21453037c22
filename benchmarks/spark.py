"""Prepares one log with DuckDB and with Spark, and compares the results and the times.

python -m benchmarks.spark [LOG] [--rows 20000000] [--master 'local[2]'] [--shard_size 20000000]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.growth import generate

_PREPARE = """
import json, sys
from tfrs_timirec.config import DataSettings
from tfrs_timirec.data import load
store = load(DataSettings(**json.loads(sys.argv[1])), 0)
digests = [store.digest, str(hash(tuple(store.user_ids.to_pylist()))),
           str(hash(tuple(store.item_ids.to_pylist())))]
print(json.dumps([digests, store.num_users, store.num_items, len(store.items), store.num_parts]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("log", nargs="?", help="one with the usual columns; else one is generated")
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--master", default="local[2]")
    parser.add_argument("--shard_size", type=int, default=20_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log = arguments.log or f"{folder}/log.csv"
        if not arguments.log:
            generate(arguments.rows, Path(log))
        found = {}
        for engine in ("duckdb", "spark"):
            settings = {
                "source": log,
                "folder": f"{folder}/{engine}",
                "engine": engine,
                "master": arguments.master,
                "shard_size": arguments.shard_size,
            }
            began = time.perf_counter()
            command = [sys.executable, "-c", _PREPARE, json.dumps(settings)]
            environment = os.environ | {"PYTHONHASHSEED": "0"}
            printed = subprocess.run(
                command, env=environment, check=True, stdout=subprocess.PIPE, text=True
            ).stdout
            found[engine], users, items, interactions, shards = json.loads(printed)
            print(
                f"{engine}: {time.perf_counter() - began:.0f} s; {users:,} users, {items:,} items, "
                f"{interactions:,} interactions in {shards} shards; load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
        print("equal" if found["duckdb"] == found["spark"] else "NOT EQUAL")


if __name__ == "__main__":
    main()
