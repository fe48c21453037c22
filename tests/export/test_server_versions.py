"""Versions come, are copied slowly, are broken and mended, and the server keeps up with them."""

import asyncio
import shutil
import subprocess
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis.get_model_status_pb2 import ModelVersionStatus

from tests.export.conftest import free_port, request, statuses
from tests.processes import PATIENCE, Popen
from tfrs_timirec.export.saved import numbered_versions
from tfrs_timirec.export.server import versions

HISTORY = [[b"i1", b"i2"]]
SERVING = health_pb2.HealthCheckResponse.SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def models(exports, tmp_path):
    shutil.copytree(exports["popularity"] / "exact", tmp_path / "models" / "exact")
    return tmp_path / "models"


def wait_for(server, version, state):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        status = statuses(server.address).get(version)
        if status and status.state == state:
            return status
        time.sleep(0.1)
    raise AssertionError(f"version {version} did not get there: {statuses(server.address)}")


def answering(server) -> int:
    with server.stub() as stub:
        return stub.Predict(request(history=HISTORY), timeout=20).model_spec.version.value


def test_a_broken_version_is_passed_over(serve, models):
    server = serve(models)
    (models / "exact" / "2").mkdir()
    (models / "exact" / "2" / "saved_model.pb").write_bytes(b"no model at all")
    assert wait_for(server, 2, ModelVersionStatus.END).status.error_message
    assert answering(server) == 1
    part = models / "exact" / ".3.part"
    shutil.copytree(models / "exact" / "1", part)
    part.rename(models / "exact" / "3")
    wait_for(server, 3, ModelVersionStatus.AVAILABLE)
    assert answering(server) == 3
    assert statuses(server.address)[1].state == ModelVersionStatus.END


@pytest.mark.long
def test_a_broken_version_that_is_published_again_is_served(serve, models):
    server = serve(models)
    second = models / "exact" / "2"
    second.mkdir()
    (second / "saved_model.pb").write_bytes(b"no model at all")
    wait_for(server, 2, ModelVersionStatus.END)
    shutil.rmtree(second)
    shutil.copytree(models / "exact" / "1", models / "exact" / ".2.part")
    (models / "exact" / ".2.part").rename(second)
    status = wait_for(server, 2, ModelVersionStatus.AVAILABLE)
    assert not status.status.error_message
    assert answering(server) == 2


@pytest.mark.long
def test_a_version_that_is_copied_slowly_is_served(serve, models):
    server = serve(models, "--poll_seconds=0.05")
    first, second = models / "exact" / "1", models / "exact" / "2"
    files = [path.relative_to(first) for path in sorted(first.rglob("*")) if path.is_file()]
    assert "saved_model.pb" in map(str, files)
    for file in sorted(files, key=lambda file: str(file) != "saved_model.pb"):
        whole = (first / file).read_bytes()
        (second / file).parent.mkdir(parents=True, exist_ok=True)
        for end in (len(whole) // 2, len(whole)):
            # Longer than two looks: what is there looks finished, and is not.
            (second / file).write_bytes(whole[:end])
            time.sleep(0.2)
    wait_for(server, 2, ModelVersionStatus.AVAILABLE)
    assert answering(server) == 2


def test_folders_that_are_no_versions_harm_nothing(serve, models):
    for name in ("99999999999999999999", "٣", "latest", "1.5", "-2"):
        (models / "exact" / name).mkdir()
    assert numbered_versions(models / "exact") == {1: models / "exact" / "1"}
    server = serve(models)
    assert answering(server) == 1
    assert statuses(server.address).keys() == {1}


def test_a_link_that_leads_nowhere_is_a_broken_version(serve, models):
    second = models / "exact" / "2"
    second.mkdir()
    (second / "saved_model.pb").symlink_to(models / "nowhere")
    server = serve(models)
    assert answering(server) == 1
    assert wait_for(server, 2, ModelVersionStatus.END).status.error_message
    shutil.copytree(models / "exact" / "1", models / "exact" / ".3.part")
    (models / "exact" / ".3.part").rename(models / "exact" / "3")
    wait_for(server, 3, ModelVersionStatus.AVAILABLE)


def test_a_folder_that_cannot_be_read_keeps_no_other_from_serving(models, monkeypatch, caplog):
    (models / "lost+found").mkdir()
    of_folder = versions.numbered_versions

    def numbered(folder):
        if folder.name == "lost+found":
            raise PermissionError("no permission")
        return of_folder(folder)

    monkeypatch.setattr(versions, "numbered_versions", numbered)
    looked_at = versions.Models(models)
    for _ in range(3):
        assert [name for name, _ in asyncio.run(looked_at.look())] == ["exact"]
    assert caplog.text.count("lost+found is passed over until it can be read") == 1


def test_each_model_tells_whether_it_is_ready(models, tmp_path):
    (models / "exact").rename(tmp_path / "exact")
    (models / "broken" / "1").mkdir(parents=True)
    address = f"127.0.0.1:{free_port()}"
    command = ["-m", "tfrs_timirec.export.server", models, "--port", address.split(":")[1]]
    server = Popen([*command, "--poll_seconds=0.2"], stderr=subprocess.DEVNULL)
    try:
        with grpc.insecure_channel(address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)

            def health(service):
                message = health_pb2.HealthCheckRequest(service=service)
                return stub.Check(message, timeout=60, wait_for_ready=True).status

            assert health("") == NOT_SERVING
            exact = stub.Watch(health_pb2.HealthCheckRequest(service="exact"), timeout=60)
            assert next(exact).status == SERVICE_UNKNOWN
            (tmp_path / "exact").rename(models / "exact")
            assert next(exact).status == NOT_SERVING
            assert next(exact).status == SERVING
            everything = stub.Watch(health_pb2.HealthCheckRequest(service=""), timeout=60)
            assert any(update.status == SERVING for update in everything)
            assert health("broken") == NOT_SERVING
            with pytest.raises(grpc.RpcError) as caught:
                health("other")
            assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    finally:
        server.kill()
        server.wait()
