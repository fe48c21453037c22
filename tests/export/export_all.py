"""Exports saved recommenders in this one process, each as a model of its system's name.

Usage: python export_all.py <folder of saved recommenders> <folder of the models>
"""

import sys
from pathlib import Path

from tfrs_timirec import Recommender

saved, models = map(Path, sys.argv[1:])
models.mkdir()
for folder in saved.iterdir():
    exported = models.with_name(f"{folder.name}-exported")
    Recommender.load(folder).export(exported, k=5)
    (exported / "exact").rename(models / folder.name)
