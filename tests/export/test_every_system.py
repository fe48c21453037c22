"""Every system: saved, exported from that alone in a fresh process, and served."""

import os
from pathlib import Path

import numpy as np
import pytest

from tests.processes import run
from tfrs_timirec.export.client import Client
from tfrs_timirec.models.systems import SYSTEMS

HISTORIES = [["i1", "i2", "i4"], ["i7"], ["i59", "i0", "i3", "i5", "i6", "i9", "i11"]]
TIMES = [[1, 2, 5], [3], [1, 2, 3, 4, 5, 6, 99]]


@pytest.mark.long
def test_what_is_served_is_what_the_saved_recommender_says(systems, serve, tmp_path):
    recommenders = {name: systems[name].recommender for name in SYSTEMS}
    for name, recommender in recommenders.items():
        recommender.save(tmp_path / "saved" / name)
    script = Path(__file__).with_name("export_all.py")
    moved = systems.folder.rename(systems.folder.with_name("moved"))
    try:
        done = run([script, tmp_path / "saved", tmp_path / "models"], cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    finally:
        os.replace(moved, systems.folder)
    server = serve(tmp_path / "models")
    for name, recommender in recommenders.items():
        times = TIMES if "times" in recommender.system.tower_inputs else None
        among = [f"i{number}" for number in range(0, 60, 2)]
        for asked in ({}, {"among": among, "exclude": ["i2"]}):
            expected = recommender.recommend(histories=HISTORIES, times=times, k=5, **asked)
            with Client(server.address, name, timeout=60) as client:
                answered = client.recommend(HISTORIES, 5, times=times, **asked)
            for history, items in enumerate(answered):
                of_one = expected[expected["history"] == history]
                assert [item.item_id for item in items] == of_one["item_id"].tolist(), name
                scores = [item.score for item in items]
                np.testing.assert_allclose(scores, of_one["score"], rtol=1e-5, atol=1e-5)
