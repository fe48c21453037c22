"""The files for TF-Serving, as far as they can be checked without Docker and Kubernetes.

tensorflow-serving-api has the message of the model configuration. It has not those of batching,
monitoring and TLS: their fields are declared here as TF-Serving 2.20 declares them.
"""

import json
import re
from importlib.metadata import version
from pathlib import Path

import compose_spec
import kubernetes_validate
import pytest
import yaml
from dockerfile_parse import DockerfileParser
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from jsonargparse import ArgumentParser
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from tfrs_timirec.export.publish import MODELS
from tfrs_timirec.export.server.settings import ServerSettings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "export" / "serving"
INT64, STRING, BOOL = ".google.protobuf.Int64Value", "string", "bool"
MESSAGES = {
    "BatchingParameters": [
        ("max_batch_size", 1, INT64),
        ("batch_timeout_micros", 2, INT64),
        ("max_enqueued_batches", 3, INT64),
        ("num_batch_threads", 4, INT64),
        ("thread_pool_name", 5, ".google.protobuf.StringValue"),
        ("allowed_batch_sizes", 6, "int64"),
        ("pad_variable_length_inputs", 7, BOOL),
    ],
    "PrometheusConfig": [("enable", 1, BOOL), ("path", 2, STRING)],
    "MonitoringConfig": [("prometheus_config", 1, ".check.PrometheusConfig")],
    "SSLConfig": [
        ("server_key", 1, STRING),
        ("server_cert", 2, STRING),
        ("custom_ca", 3, STRING),
        ("client_verify", 4, BOOL),
    ],
}


@pytest.fixture(scope="module")
def messages():
    """The classes of MESSAGES by name."""
    field_types = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="check.proto", package="check", syntax="proto3")
    file.dependency.append("google/protobuf/wrappers.proto")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            repeated = kind == "int64"
            added = message.field.add(name=field, number=number, label=3 if repeated else 1)
            if kind.startswith("."):
                added.type, added.type_name = field_types.TYPE_MESSAGE, kind
            else:
                added.type = getattr(field_types, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"check.{name}"))
        for name in MESSAGES
    }


def compose() -> dict:
    """The compose file with the defaults of its variables."""
    text = (FOLDER / "compose.yaml").read_text()
    return yaml.safe_load(re.sub(r"\$\{\w+:-([^}]+)\}", r"\1", text))


def dockerfile(name: str) -> DockerfileParser:
    return DockerfileParser(fileobj=open(FOLDER / name, "rb"))


def entrypoint(name: str) -> list[str]:
    (found,) = (s for s in dockerfile(name).structure if s["instruction"] == "ENTRYPOINT")
    return json.loads(found["value"])


def flags(name: str = "Dockerfile") -> dict[str, str]:
    """TF-Serving's flags in a Dockerfile."""
    command, *given = entrypoint(name)
    assert command == "tensorflow_model_server"
    return dict(flag.removeprefix("--").split("=") for flag in given)


@pytest.mark.parametrize("name, served", [("models", ["exact"]), ("models.scann", [*MODELS])])
def test_the_models_are_those_of_the_export(name, served):
    config = text_format.Parse((FOLDER / f"{name}.config").read_text(), ModelServerConfig())
    assert [model.name for model in config.model_config_list.config] == served
    assert set(served) <= set(MODELS)
    for model in config.model_config_list.config:
        assert model.base_path == f"/models/{model.name}"
        assert model.model_platform == "tensorflow"


def test_batching(messages):
    text = (FOLDER / "batching.config").read_text()
    batching = text_format.Parse(text, messages["BatchingParameters"]())
    assert batching.max_batch_size.value == ServerSettings().batch_size
    assert 0 < batching.batch_timeout_micros.value < 10_000
    assert batching.pad_variable_length_inputs
    with pytest.raises(text_format.ParseError):
        text_format.Parse(f"{text}\nbatch_size {{ value: 1 }}", messages["BatchingParameters"]())


def test_monitoring(messages):
    text = (FOLDER / "monitoring.config").read_text()
    monitoring = text_format.Parse(text, messages["MonitoringConfig"]()).prometheus_config
    assert monitoring.enable
    scraped = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())["scrape_configs"]
    serving, embedded = scraped
    assert serving["metrics_path"] == monitoring.path
    assert serving["static_configs"][0]["targets"] == [f"serving:{flags()['rest_api_port']}"]
    (port,) = (f for f in entrypoint("embedded.Dockerfile") if f.startswith("--metrics_port="))
    assert embedded["static_configs"][0]["targets"] == [f"serving:{port.split('=')[1]}"]
    annotations = deployment()["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/path"] == monitoring.path
    assert annotations["prometheus.io/port"] == flags()["rest_api_port"]


def test_tls(messages):
    ssl = text_format.Parse((FOLDER / "ssl.config.example").read_text(), messages["SSLConfig"]())
    for pem in (ssl.server_key, ssl.server_cert, ssl.custom_ca):
        assert re.fullmatch(r"-----BEGIN [A-Z ]+-----\n…\n-----END [A-Z ]+-----\n", pem)
    assert ssl.client_verify


@pytest.mark.parametrize("name", ["Dockerfile", "scann.Dockerfile"])
def test_dockerfiles_copy_what_their_flags_name(name):
    parsed = dockerfile(name)
    copies = [s["value"].split() for s in parsed.structure if s["instruction"] == "COPY"]
    found = {f"{target}{name}" for *names, target in copies for name in names}
    named = {value for flag, value in flags(name).items() if flag.endswith("_file")}
    # Joining changes the answers of clients that do not prepare for it: only on demand.
    assert found == named | {"/config/batching.config"}
    assert not any("batching" in flag for flag in flags(name))
    for *names, _ in copies:
        assert all((FOLDER / name).is_file() for name in names)
    for port in ("port", "rest_api_port"):
        assert flags(name)[port] == flags()[port]


def test_the_images():
    tag = version("tensorflow-serving-api")
    assert dockerfile("Dockerfile").baseimage == f"tensorflow/serving:{tag}"
    assert compose()["services"]["gpu"]["build"]["args"] == {"TAG": f"{tag}-gpu"}
    assert dockerfile("scann.Dockerfile").baseimage == "google/tf-serving-scann:2.11.0"
    # It is not known whether 2.11 has this flag, and it would not start with one that it lacks.
    assert "enable_grpc_healthcheck_service" not in flags("scann.Dockerfile")


def test_the_embedded_server_takes_its_flags():
    parsed = dockerfile("embedded.Dockerfile")
    copies = [s["value"].split() for s in parsed.structure if s["instruction"] == "COPY"]
    for *names, _ in copies:
        assert all((ROOT / name).exists() for name in names)
    command, *given = entrypoint("embedded.Dockerfile")[2:]
    assert (
        entrypoint("embedded.Dockerfile")[:2] == ["python", "-m"]
        and command == "tfrs_timirec.export.server"
    )
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("folder")
    parser.add_class_arguments(ServerSettings, as_group=False)
    settings = parser.parse_args(given)
    assert (settings.folder, settings.host, settings.port) == ("/models", "0.0.0.0", 8500)


def test_compose():
    found = compose()
    found.pop("x-serving")
    services = compose_spec.PyCompose.from_yaml(yaml.safe_dump(found)).services
    profiles = {"cpu", "gpu", "scann", "embedded"}
    assert services.keys() == profiles | {"prometheus"}
    assert set(found["services"]["prometheus"]["profiles"]) == profiles
    for name in profiles:
        service = found["services"][name]
        assert service["profiles"] == [name]
        build = service["build"] if isinstance(service["build"], dict) else {"context": "."}
        context = FOLDER / build["context"]
        path = (context / build.get("dockerfile", "Dockerfile")).resolve()
        assert path.parent == FOLDER
        assert service["volumes"] == ["../../models:/models:ro"]
        exposed = [s for s in dockerfile(path.name).structure if s["instruction"] == "EXPOSE"]
        (ports,) = (s["value"].split() for s in exposed)
        assert [port.rsplit(":", 1)[1] for port in service["ports"]] == ports
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    broken = yaml.safe_dump({"services": {"cpu": {"ports": 3}}})
    with pytest.raises(ValueError, match="ports"):
        compose_spec.PyCompose.from_yaml(broken)


def kubernetes() -> list[dict]:
    return list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text()))


def deployment() -> dict:
    (found,) = (document for document in kubernetes() if document["kind"] == "Deployment")
    return found


@pytest.mark.long
def test_kubernetes_by_its_schema():
    for document in kubernetes():
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
        broken = {**document, "spec": {**document["spec"], "port": 1}}
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(broken, kubernetes_validate.latest_version(), strict=True)


def test_kubernetes():
    (service,) = (document for document in kubernetes() if document["kind"] == "Service")
    template = deployment()["spec"]["template"]
    assert service["spec"]["selector"] == template["metadata"]["labels"]
    (container,) = template["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": int(flags()["port"]), "rest": int(flags()["rest_api_port"])}
    assert {port["targetPort"] for port in service["spec"]["ports"]} == ports.keys()
    assert container["startupProbe"]["grpc"]["port"] == ports["grpc"]
    assert flags()["enable_grpc_healthcheck_service"] == "true"
    assert container["readinessProbe"]["httpGet"]["path"] == "/v1/models/exact"
    (mount,) = container["volumeMounts"]
    assert mount["mountPath"] == "/models" and mount["readOnly"]
    assert container["image"].endswith(f":{version('tensorflow-serving-api')}")
