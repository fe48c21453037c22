"""A training on several shards that is interrupted and killed ends like an undisturbed one."""

import signal
import time

import numpy as np
import pytest

from tests.processes import PATIENCE
from tests.training.test_resume import rows, wait_for

pytestmark = pytest.mark.faults


def test_shards_are_resumed_within_an_epoch(start, log, tmp_path):
    arguments = [
        f"--data.source={log}",
        f"--data.folder={tmp_path / 'data'}",
        "--data.shard_size=1500",
        "--model.system=youtube_dnn",
        "--model.embedding_size=16",
        "--training.batch_size=8",
        "--training.max_epochs=4",
        "--evaluation.negatives=30",
    ]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    process = start("tfrs_timirec.train", *arguments, f"--run={whole}")
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert len(list((tmp_path / "data").rglob("interactions-*.parquet"))) == 4

    process = start("tfrs_timirec.train", *arguments, f"--run={broken}")
    wait_for(process, lambda: rows(broken))
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    process.wait()
    process = start("tfrs_timirec.train", *arguments, f"--run={broken}", "--resume")
    wait_for(process, lambda: len(rows(broken)) >= 2)
    process.kill()
    process.wait()
    process = start("tfrs_timirec.train", *arguments, f"--run={broken}", "--resume")
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors

    checkpoint = "checkpoints/phase1.npz"
    with np.load(whole / checkpoint) as expected, np.load(broken / checkpoint) as found:
        assert expected.files == found.files
        for name in expected.files:
            assert expected[name].tobytes() == found[name].tobytes(), name
    assert (whole / "metrics.json").read_text() == (broken / "metrics.json").read_text()
