"""Fits into a run folder and presses Ctrl-C on itself after an epoch.

Usage: python fit_run.py <log> <run folder> <settings as JSON> <rows after which it stops>
"""

import json
import os
import signal
import sys

import tensorflow as tf

from tfrs_timirec import Recommender

log, run, settings, rows = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4])
seen = []


def stop(row: dict) -> None:
    seen.append(row)
    if len(seen) == rows:
        os.kill(os.getpid(), signal.SIGINT)


tf.config.run_functions_eagerly(True)
try:
    Recommender(**settings).fit(log, run=run, callback=stop, silent=True)
except KeyboardInterrupt as error:
    sys.exit(f"told: {type(error).__name__} after {len(seen)} rows")
