"""Versions are swapped under load, and no client notices but by the version of its answers."""

import json
import shutil
import subprocess
import time
from pathlib import Path

from tests.processes import Popen
from tfrs_timirec.export.client import Client

# Of each version, at least.
SECONDS = 2
CLIENTS = 2


def test_versions_are_swapped_under_load(serve, exports, tmp_path):
    models = tmp_path / "models"
    shutil.copytree(exports["timirec"], models)
    server = serve(models)
    script = Path(__file__).with_name("ask_for.py")
    clients = [
        Popen(
            [script, server.address, number],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(CLIENTS)
    ]
    for client in clients:
        assert client.stdout.readline() == "asking\n"
    for version in (2, 3, 4):
        time.sleep(SECONDS)
        part = models / "exact" / f".{version}.part"
        # Another model: TiMiRec's items, ranked by popularity.
        shutil.copytree(exports["popularity" if version % 2 == 0 else "timirec"] / "exact/1", part)
        part.rename(models / "exact" / str(version))
        deadline = time.monotonic() + 60
        with Client(server.address) as client:
            while client.versions().get(version) != "AVAILABLE":
                assert time.monotonic() < deadline, f"version {version} is not served"
                time.sleep(0.1)
    time.sleep(SECONDS)
    reports = [json.loads(client.communicate(timeout=60)[0]) for client in clients]
    for report in reports:
        assert report["errors"] == []
        assert report["requests"] > 100
        # In order: no answer is from a version that was replaced before it was asked for.
        assert report["versions"] == sorted(report["versions"])
        assert set(report["versions"]) == {1, 2, 3, 4}
        # Each model gave one answer to the one question, and the two are not the same.
        answers = report["answers"]
        assert answers["1"] == answers["3"] != answers["2"] == answers["4"]
        assert {len(found) for found in answers.values()} == {1}
