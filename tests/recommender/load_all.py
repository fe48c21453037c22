"""Loads saved recommenders in this one process; prints their recommendations as JSON.

Usage: python load_all.py <folder of folders> <question>
"""

import json
import sys
from pathlib import Path

from tfrs_timirec import Recommender

question = json.loads(sys.argv[2])
answers = {}
for folder in Path(sys.argv[1]).iterdir():
    answers[folder.name] = {}
    for with_users in (True, False):
        model = Recommender.load(folder, with_users)
        asked = dict(question)
        if "times" not in model.system.tower_inputs:
            del asked["times"]
        of_model = [model.recommend(**asked)]
        if with_users:
            of_model.append(model.recommend(users=["u1", "nobody"], k=5, unknown="popular"))
        answers[folder.name][str(with_users)] = [table.to_dict("list") for table in of_model]
print(json.dumps(answers))
