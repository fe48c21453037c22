"""Evaluates the recommenders of run folders in this one process; prints a line of JSON for each.

Usage: python evaluate_runs.py <run folder>...
"""

import json
import sys

from tfrs_timirec import Recommender

for folder in sys.argv[1:]:
    print(json.dumps(Recommender.load(folder).evaluate()))
