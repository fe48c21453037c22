"""TF-Serving's REST protocol, asked as TF-Serving's documentation does, beside gRPC."""

import base64
import json
import socket
import subprocess

import numpy as np
import pytest
import requests
import tensorflow as tf
import trustme
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from tests.examples import examples
from tests.export.conftest import free_port, request, statuses, wait_for
from tests.processes import run

HISTORIES = [["i1", "i2", "i4"], ["i7", "i9", "i3"]]
HISTORY, RECOMMEND = {"history": [["i1"]]}, {"signature_name": "recommend"}


def curl(*arguments: str) -> str:
    done = subprocess.run(["curl", "--silent", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def predict(server, body, path="exact"):
    return requests.post(f"{server.url}/{path}:predict", json=body, timeout=20)


def by_grpc(server, signature, **inputs) -> dict[str, np.ndarray]:
    with server.stub() as stub:
        response = stub.Predict(request(signature, **inputs), timeout=20)
    return {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}


def plain(array: np.ndarray):
    if array.dtype == object:
        return np.vectorize(bytes.decode, otypes=[object])(array).tolist()
    return array.tolist()


def test_with_curl_as_documented(server):
    status = json.loads(curl(f"{server.url}/exact"))
    ok = {"error_code": "OK", "error_message": ""}
    of_it = {"version": "1", "state": "AVAILABLE", "status": ok}
    assert status == {"model_version_status": [of_it]}
    assert status == json.loads(curl(f"{server.url}/exact/versions/1"))
    asked = '{"signature_name": "recommend", "instances": [{"history": ["i1", "i2"]}]}'
    answered = json.loads(curl("-d", asked, "-X", "POST", f"{server.url}/exact:predict"))
    (row,) = answered["predictions"]
    expected = by_grpc(server, "recommend", history=[["i1", "i2"]])
    assert row == {name: plain(array)[0] for name, array in expected.items()}
    asked = '{"inputs": {"history": [["i1", "i2"]]}}'
    answered = json.loads(curl("-d", asked, f"{server.url}/exact/versions/1:predict"))
    expected = by_grpc(server, "serving_default", history=[["i1", "i2"]])
    assert answered["outputs"] == {name: plain(array) for name, array in expected.items()}
    asked = '{"instances": [["i1", "i2"]]}'
    answered = json.loads(curl("-d", asked, f"{server.url}/exact:predict"))
    assert answered["predictions"] == [{name: plain(a)[0] for name, a in expected.items()}]
    told = json.loads(curl("-d", "{", f"{server.url}/exact:predict"))
    assert told.keys() == {"error"}


@pytest.mark.parametrize(
    ("signature", "inputs"),
    [
        ("recommend", {"history": HISTORIES, "k": [4, 5], "exclude": [["i5"], ["i6"]]}),
        ("explain", {"history": HISTORIES, "k": [4, 4]}),
        ("user_vectors", {"history": HISTORIES}),
        ("score", {"history": HISTORIES, "candidates": [["i1", "nothing"], ["i3", "i4"]]}),
        ("diverse", {"history": HISTORIES, "diversity": [0.5, 0.25]}),
    ],
)
def test_the_numbers_are_those_of_grpc_to_the_bit(server, signature, inputs):
    typed = {name: np.array(values) for name, values in inputs.items()}
    typed |= {name: np.int32(typed[name]) for name in ("k",) if name in typed}
    typed |= {name: np.float32(typed[name]) for name in ("diversity",) if name in typed}
    expected = by_grpc(server, signature, **typed)
    rows = [dict(zip(inputs, row, strict=True)) for row in zip(*inputs.values(), strict=True)]
    columns = predict(server, {"signature_name": signature, "inputs": inputs}).json()["outputs"]
    by_row = predict(server, {"signature_name": signature, "instances": rows}).json()
    by_row = by_row["predictions"]
    if len(expected) == 1:
        columns = dict.fromkeys(expected, columns)
        by_row = [dict.fromkeys(expected, row) for row in by_row]
    assert columns.keys() == expected.keys() == by_row[0].keys()
    for name, array in expected.items():
        for found in (columns[name], [row[name] for row in by_row]):
            if array.dtype == object:
                assert found == plain(array)
            else:
                assert np.array(found, array.dtype).tobytes() == array.tobytes()


def test_bytes_are_base64(server):
    coded = [[{"b64": base64.b64encode(item.encode()).decode()} for item in HISTORIES[0]]]
    answers = [
        predict(server, {"inputs": {"history": history}}).json()
        for history in (coded, HISTORIES[:1])
    ]
    assert answers[0] == answers[1] and "outputs" in answers[0]


def test_the_metadata_are_the_signatures(server):
    found = requests.get(f"{server.url}/exact/metadata", timeout=20).json()
    assert found["model_spec"] == {"name": "exact", "version": "1", "signature_name": ""}
    signature = found["metadata"]["signature_def"]["signature_def"]["recommend"]
    history = signature["inputs"]["history"]
    assert history["dtype"] == "DT_STRING"
    assert [d["size"] for d in history["tensor_shape"]["dim"]] == ["-1", "-1"]


@pytest.mark.parametrize(
    ("path", "body", "status", "told"),
    [
        ("exact", {}, 400, "either instances or inputs"),
        ("exact", [], 400, "either instances or inputs"),
        ("exact", {"instances": [], "inputs": {}}, 400, "either instances or inputs"),
        ("exact", {"instances": []}, 400, "at least one row"),
        ("exact", {**RECOMMEND, "instances": [["i1"]]}, 400, "several inputs"),
        ("exact", {"instances": [{"history": ["i1"]}, {}]}, 400, "the same inputs"),
        ("exact", {"inputs": {"history": [["i1"], []]}}, 400, "in lists of one length"),
        ("exact", {"inputs": {"history": [[1]]}}, 400, "history must be strings, in lists"),
        ("exact", {"inputs": {"history": [[{"b64": "?"}]]}}, 400, "must be strings"),
        (
            "exact",
            {**RECOMMEND, "inputs": {**HISTORY, "k": 2.5}},
            400,
            "integers of the type int32",
        ),
        ("exact", {**RECOMMEND, "inputs": {**HISTORY, "k": 2**40}}, 400, "integers of the type"),
        ("exact", {**RECOMMEND, "inputs": {**HISTORY, "k": 61}}, 400, "k must be from 1 to 60"),
        ("exact", {"inputs": {"story": [["i1"]]}}, 400, "There is no input story"),
        ("exact", {"inputs": {"history": [["i1"]] * 2000}}, 400, "has 2000 rows"),
        ("exact", {"inputs": {"history": [["i1"] * 1_000_001]}}, 400, "has 1000001 values"),
        ("exact", {"inputs": {"history": [[[[[[[[[[]]]]]]]]]]}}, 400, "has 10 dimensions"),
        ("exact", {"inputs": {"\ud800": []}}, 400, "There is no input \ud800"),
        ("exact", {"signature_name": "\ud800", "inputs": {}}, 400, "must be a string"),
        ("exact", {"signature_name": 5, "inputs": {}}, 400, "must be a string"),
        ("exact", {"signature_name": "x", "inputs": {}}, 400, "There is no signature 'x'"),
        ("none", {"inputs": {}}, 404, "There is no model 'none'"),
        ("exact/versions/7", {"inputs": {}}, 404, "version 7"),
        ("exact/versions/9999999999999999999", {"inputs": {}}, 404, "has no version 99"),
        ("exact/versions/one", {"inputs": {}}, 404, "has no version one"),
        ("exact/labels/stable", {"inputs": {}}, 400, "labels are not supported"),
    ],
)
def test_a_mistake_is_told_in_json(server, path, body, status, told):
    answered = predict(server, body, path)
    assert answered.status_code == status and told in answered.json()["error"], answered.text


def test_other_mistakes(server):
    for method in ("classify", "regress"):
        answered = requests.post(f"{server.url}/exact:{method}", json={}, timeout=20)
        assert answered.status_code == 501 and "only predict" in answered.json()["error"]
    for content in (b"[" * 100_000, b"\xff", b'{"inputs": ' + b"[" * 900 + b"]" * 900 + b"}"):
        answered = requests.post(f"{server.url}/exact:predict", data=content, timeout=20)
        assert answered.status_code == 400 and answered.json()["error"].endswith(".")
    too_much = b" " * (16 * 2**20 + 1)
    answered = requests.post(f"{server.url}/exact:predict", data=too_much, timeout=20)
    assert answered.status_code == 429 and "bytes" in answered.json()["error"]
    assert requests.get(f"{server.url}/exact:predict", timeout=20).status_code in (404, 405)
    answered = requests.get(f"{server.url}/none", timeout=20)
    assert answered.status_code == 404 and answered.json().keys() == {"error"}
    answered = requests.get(server.url.removesuffix("/v1/models"), timeout=20)
    assert answered.status_code == 404 and "Malformed request" in answered.json()["error"]


def test_a_request_has_an_id_and_no_page_may_ask(server):
    headers = {"x-request-id": "mine", "origin": "https://page.example"}
    body = {"inputs": {"history": HISTORIES}}
    answered = requests.post(f"{server.url}/exact:predict", json=body, headers=headers, timeout=20)
    assert answered.headers["x-request-id"] == "mine"
    assert "access-control-allow-origin" not in answered.headers
    assert wait_for(lambda: any("mine exact/serving_default OK" in x for x in list(server.log)))


def test_who_breaks_off_leaves_no_traceback(server):
    host, port = server.url.split("/")[2].split(":")
    before = len(server.log)
    with socket.create_connection((host, int(port))) as connection:
        head = "POST /v1/models/exact:predict HTTP/1.1\r\nHost: here\r\nContent-Length: 99\r\n\r\n"
        connection.sendall(head.encode() + b"{")
    # Some answers later its log would have one.
    for _ in range(20):
        assert predict(server, {"inputs": {"history": HISTORIES}}).status_code == 200
    assert [line for line in server.log[before:] if "Traceback" in line] == []


@pytest.mark.long
def test_an_address_of_ipv6(serve, exports):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("This machine has no IPv6.")
    server = serve(exports["popularity"], "--host=::1", "--rest_port=0")
    assert server.address.startswith("[::1]:") and server.url.startswith("http://[::1]:")
    body = {"inputs": {"history": [["i1"]]}}
    assert predict(server, body).json()["outputs"]["item_ids"]
    with server.stub() as stub:
        assert stub.Predict(request(history=[["i1"]]), timeout=20).outputs


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(["i1", "i2"])
    | st.just({"b64": "aTE="}),
    lambda parts: st.lists(parts, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(["history", "k", "exclude", "among", "interest_weights", "candidates"])
histories = st.lists(st.sampled_from(["i1", "i2", "x"]), min_size=2, max_size=2)
rows = st.fixed_dictionaries({"history": histories | values}, optional={"k": values})
bodies = st.fixed_dictionaries(
    {},
    optional={
        "signature_name": st.sampled_from(["recommend", "explain", "score", "user_vectors", "x"]),
        "instances": st.lists(rows | values, max_size=3) | values,
        "inputs": st.dictionaries(names, values | st.lists(histories, max_size=2)) | values,
    },
)


@examples(200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=bodies | values)
def test_whatever_is_asked_gets_an_answer(server, http, body):
    answered = http.post(f"{server.url}/exact:predict", data=json.dumps(body), timeout=20)
    if answered.status_code == 200:
        assert answered.json().keys() <= {"predictions", "outputs"}
    else:
        assert answered.status_code == 400, (body, answered.text)
        assert answered.json()["error"].endswith((".", "…"))


@pytest.fixture(scope="module")
def http():
    with requests.Session() as session:
        yield session


def test_tls_and_pages_of_named_origins(serve, exports, tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "certificate.pem")
    server = serve(
        exports["popularity"],
        "--rest_port=0",
        '--rest_origins=["https://shop.example"]',
        f"--certificate={tmp_path / 'certificate.pem'}",
        f"--key={tmp_path / 'key.pem'}",
    )
    assert server.url.startswith("https://127.0.0.1:")
    trusted = str(tmp_path / "authority.pem")
    body = {"inputs": {"history": [["i1"]]}}
    for origin, allowed in (("https://shop.example", True), ("https://other.example", False)):
        answered = requests.post(
            f"{server.url}/exact:predict",
            json=body,
            headers={"origin": origin},
            verify=trusted,
            timeout=20,
        )
        assert answered.status_code == 200 and "outputs" in answered.json()
        assert (answered.headers.get("access-control-allow-origin") == origin) == allowed
        # What a browser asks first.
        asked = {"origin": origin, "access-control-request-method": "POST"}
        found = requests.options(
            f"{server.url}/exact:predict", headers=asked, verify=trusted, timeout=20
        )
        assert (found.headers.get("access-control-allow-origin") == origin) == allowed
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{server.url}/exact", timeout=20)


def test_a_port_that_is_taken_is_told(server, exports):
    taken = server.url.split(":")[2].split("/")[0]
    flags = [f"--port={free_port()}", f"--rest_port={taken}"]
    done = run(["-m", "tfrs_timirec.export.server", exports["timirec"], *flags])
    assert done.returncode == 2
    assert f"REST cannot be served on 127.0.0.1:{taken}" in done.stderr
    assert "Traceback" not in done.stderr
    assert statuses(server.address).keys() == {1}
