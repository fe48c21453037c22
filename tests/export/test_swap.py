"""Versions are swapped under load, and no client notices but by the version of its answers."""

import json
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest
import requests

from tests.processes import PATIENCE, Popen
from tfrs_timirec.export.client import Client

# Of each version, at least.
SECONDS = 2
CLIENTS = 2


@pytest.mark.long
def test_versions_are_swapped_under_load(serve, exports, tmp_path):
    models = tmp_path / "models"
    shutil.copytree(exports["timirec"], models)
    server = serve(models, "--rest_port=0")
    stop, by_rest = threading.Event(), []

    def ask_by_rest() -> None:
        with requests.Session() as session:
            while not stop.is_set():
                body = {"inputs": {"history": [["i0"]]}}
                answer = session.post(f"{server.url}/exact:predict", json=body, timeout=30)
                found = (answer.status_code, answer.json().get("outputs", {}).get("item_ids"))
                if not by_rest or by_rest[-1] != found:
                    by_rest.append(found)

    asking = threading.Thread(target=ask_by_rest)
    asking.start()
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
        deadline = time.monotonic() + PATIENCE
        with Client(server.address, timeout=60) as client:
            while client.versions().get(version) != "AVAILABLE":
                assert time.monotonic() < deadline, f"version {version} is not served"
                time.sleep(0.1)
    time.sleep(SECONDS)
    stop.set()
    asking.join()
    # By REST: two answers, in turns.
    assert [status for status, _ in by_rest] == 4 * [200], by_rest
    assert by_rest[0] == by_rest[2] != by_rest[1] == by_rest[3]
    reports = [json.loads(client.communicate(timeout=PATIENCE)[0]) for client in clients]
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
