"""Evaluates run folders again in this one process.

Usage: python evaluate_runs.py <run folder>...
"""

import sys
from pathlib import Path

from tfrs_timirec.evaluate import evaluate

for folder in sys.argv[1:]:
    evaluate(Path(folder))
