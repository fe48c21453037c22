"""The real server process, asked with the plain stub of tensorflow-serving-api."""

import re
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
import requests
import tensorflow as tf
import trustme
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from tensorflow_serving.apis.get_model_metadata_pb2 import (
    GetModelMetadataRequest,
    SignatureDefMap,
)
from tensorflow_serving.apis.get_model_status_pb2 import ModelVersionStatus
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from tests.examples import examples
from tests.export.conftest import free_port, proto, request, statuses
from tests.processes import run
from tfrs_timirec.errors import UserError
from tfrs_timirec.export.client import TLS, Client
from tfrs_timirec.export.saved import read_signatures

HISTORY = [[b"i1", b"i2"]]
CODE = grpc.StatusCode


@pytest.fixture
def stub(server):
    with server.stub() as stub:
        yield stub


def arrays(response: PredictResponse) -> dict[str, np.ndarray]:
    return {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}


def refused(stub, message, code, said) -> None:
    """The request is refused so, and the next one is answered."""
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(message, timeout=20)
    assert caught.value.code() == code, caught.value.details()
    assert said in caught.value.details()
    assert arrays(stub.Predict(request(history=HISTORY), timeout=20))["scores"].shape == (1, 5)


@pytest.mark.parametrize("model", ["exact", "scann"])
def test_it_answers_what_the_savedmodel_answers(stub, exports, model):
    loaded = tf.saved_model.load(str(exports["timirec"] / model / "1"))
    inputs = {
        "history": tf.constant([["i1", "i2", "i7"], ["i59", "", ""]]),
        "k": tf.constant(8),
        "exclude": tf.constant([["i3"], [""]]),
        "among": tf.constant([["i3", "i4", "i4", "?"], ["", "", "", ""]]),
        "interest_weights": tf.constant([[1.0, 2.0], [0.0, 1.0]]),
    }
    others = {
        "serving_default": ["history"],
        "recommend": [*inputs],
        "explain": [*inputs],
        "user_vectors": ["history"],
    }
    for signature, names in others.items():
        given_to_it = {name: inputs[name] for name in names}
        expected = loaded.signatures[signature](**given_to_it)
        response = stub.Predict(request(signature, model, **given_to_it), timeout=20)
        answered = arrays(response)
        assert answered.keys() == expected.keys()
        for name, tensor in expected.items():
            if tensor.dtype == tf.string:
                assert answered[name].tolist() == tensor.numpy().tolist()
            else:
                np.testing.assert_allclose(answered[name], tensor, rtol=1e-5, atol=1e-6)
        spec = response.model_spec
        assert (spec.name, spec.version.value, spec.signature_name) == (model, 1, signature)


def test_what_is_left_out_has_the_defaults(stub):
    plain = stub.Predict(request(history=HISTORY), timeout=20)
    nothing, as_trained = [[b""]], np.ones([1, 2], np.float32)
    explicit = request(
        history=HISTORY,
        k=np.int32(5),
        exclude=nothing,
        among=nothing,
        interest_weights=as_trained,
    )
    assert plain == stub.Predict(explicit, timeout=20)
    without_name = request("", history=HISTORY)
    response = stub.Predict(without_name, timeout=20)
    assert response.model_spec.signature_name == "serving_default"
    filtered = request(history=HISTORY)
    filtered.output_filter.append("scores")
    assert stub.Predict(filtered, timeout=20).outputs.keys() == {"scores"}


def test_requests_that_wait_together_get_their_own_answers(server, stub):
    """Batches of other widths and sizes than any request's."""
    rng = np.random.default_rng(0)
    messages = []
    for _ in range(60):
        users, width = rng.integers(1, 4), rng.integers(1, 9)
        # Users without any list among those with one.
        lists = [[f"i{i}".encode() for i in row] for row in rng.integers(0, 60, (users, 30))]
        lists = [row if rng.integers(3) else [b""] * 30 for row in lists]
        messages.append(
            request(
                history=[
                    [f"i{i}".encode() for i in row] for row in rng.integers(0, 60, (users, width))
                ],
                k=np.full(users, rng.choice([4, 7]), np.int32),
                exclude=[[f"i{i}".encode()] for i in rng.integers(0, 60, users)],
                among=lists if rng.integers(2) else [[b""]] * users,
                interest_weights=rng.uniform(0.1, 3, (users, 2)).astype(np.float32),
            )
        )
    alone = [arrays(stub.Predict(message, timeout=20)) for message in messages]
    before = batches(server)
    calls = [stub.Predict.future(message, timeout=60) for message in messages]
    for expected, call in zip(alone, calls, strict=True):
        answered = arrays(call.result())
        assert answered["item_ids"].tolist() == expected["item_ids"].tolist()
        for name in ("scores", "interest_weights"):
            assert answered[name].shape == expected[name].shape
            np.testing.assert_allclose(answered[name], expected[name], rtol=1e-5, atol=1e-6)
    assert batches(server) - before < len(messages)


def batches(server) -> float:
    """How many batches the server has computed."""
    told = requests.get(server.metrics, timeout=20).text
    return float(re.search(r"^timirec_batch_rows_count (\S+)", told, re.MULTILINE)[1])


def with_input(name, value) -> PredictRequest:
    message = request(history=HISTORY)
    message.inputs[name].CopyFrom(value)
    return message


INT32 = tf.int32.as_datatype_enum
STRING = tf.string.as_datatype_enum
FLOAT = tf.float32.as_datatype_enum


@pytest.mark.parametrize(
    ("message", "code", "said"),
    [
        (request(history=[[1, 2]]), CODE.INVALID_ARGUMENT, "history is int32; it must be string"),
        (request(history=[b"i1"]), CODE.INVALID_ARGUMENT, "it must be ['?', '?']"),
        (request(history=b"i1"), CODE.INVALID_ARGUMENT, "shape"),
        (request("predict", history=HISTORY), CODE.INVALID_ARGUMENT, "no signature 'predict'"),
        (request(model="other", history=HISTORY), CODE.NOT_FOUND, "no model 'other'"),
        (request(model="", history=HISTORY), CODE.INVALID_ARGUMENT, "no name"),
        (request(), CODE.INVALID_ARGUMENT, "history is missing"),
        (request(history=HISTORY, users=HISTORY), CODE.INVALID_ARGUMENT, "no input users"),
        (request(history=HISTORY, k=0), CODE.INVALID_ARGUMENT, "from 1 to 60"),
        (request(history=HISTORY, k=-7), CODE.INVALID_ARGUMENT, "it is -7."),
        (request(history=HISTORY, k=61), CODE.INVALID_ARGUMENT, "it is 61."),
        (request(history=HISTORY, k=[3, 4]), CODE.INVALID_ARGUMENT, "one number k for all users"),
        (request(history=HISTORY, k=float("nan")), CODE.INVALID_ARGUMENT, "k is float32"),
        (with_input("history", proto(STRING, [0, 3])), CODE.INVALID_ARGUMENT, "no history."),
        (with_input("history", proto(STRING, [2, -1])), CODE.INVALID_ARGUMENT, "shape [2, -1]"),
        (with_input("history", proto(STRING, [2**40, 2])), CODE.INVALID_ARGUMENT, "at most"),
        (
            with_input("history", proto(STRING, [1, 2], string_val=[b"i1"] * 3)),
            CODE.INVALID_ARGUMENT,
            "do not fill",
        ),
        (with_input("history", proto(99, [1, 1])), CODE.INVALID_ARGUMENT, "unknown type 99"),
        (
            with_input("k", proto(INT32, [], tensor_content=b"123")),
            CODE.INVALID_ARGUMENT,
            "do not fill",
        ),
        (
            request(history=[[b"i1"], [b"i2"]], exclude=[[b"i1"]] * 3),
            CODE.INVALID_ARGUMENT,
            "one row of exclude for all users, or one for each; there are 3.",
        ),
        (
            request(history=HISTORY, interest_weights=np.float32([[0, 0]])),
            CODE.INVALID_ARGUMENT,
            "not all of them 0; they are 0 0.",
        ),
        (
            request(history=HISTORY, interest_weights=np.float32([[-1, 2]])),
            CODE.INVALID_ARGUMENT,
            "numbers from 0 up",
        ),
        (
            request(history=HISTORY, interest_weights=np.float32([[1, np.inf]])),
            CODE.INVALID_ARGUMENT,
            "numbers from 0 up",
        ),
        (
            request(history=HISTORY, interest_weights=np.float32([[1, np.nan]])),
            CODE.INVALID_ARGUMENT,
            "interest_weights holds a NaN",
        ),
        (
            request(history=HISTORY, interest_weights=np.float32([[1, 1, 1]])),
            CODE.INVALID_ARGUMENT,
            "it must be ['?', 2]",
        ),
        (
            request(history=HISTORY, among=[[b"i1"]] * 2),
            CODE.INVALID_ARGUMENT,
            "one row of among for all users, or one for each; there are 2.",
        ),
        (request(history=[[b"i" * 2**20] * 20]), CODE.RESOURCE_EXHAUSTED, "larger than max"),
    ],
    ids=lambda value: "",
)
def test_a_bad_request_is_refused_with_a_sentence(stub, message, code, said):
    refused(stub, message, code, said)


def test_a_version_or_a_label_that_does_not_serve(stub):
    other = request(history=HISTORY)
    other.model_spec.version.value = 4
    refused(stub, other, CODE.NOT_FOUND, "no version 4 loaded: version 1 serves")
    labelled = request(history=HISTORY)
    labelled.model_spec.version_label = "stable"
    refused(stub, labelled, CODE.INVALID_ARGUMENT, "labels are not supported")
    filtered = request(history=HISTORY)
    filtered.output_filter.append("price")
    refused(stub, filtered, CODE.INVALID_ARGUMENT, "no output 'price'")


def test_a_history_of_any_length(stub):
    long = [f"i{i % 60}".encode() for i in range(100_000)]
    answered = arrays(stub.Predict(request(history=[[*long, b"i1"]], k=3), timeout=60))
    assert answered["item_ids"].tolist() == [[b"", b"", b""]], "all items are in the history"
    for empty in ([], [b""], [b"never seen"]):
        history = np.array([empty], object).reshape(1, len(empty))
        inputs = with_input("history", tf.make_tensor_proto(history, tf.string, history.shape))
        assert b"" not in arrays(stub.Predict(inputs, timeout=20))["item_ids"]


def test_garbage_on_the_port_hurts_nobody(server, stub):
    host, port = server.address.rsplit(":", 1)
    rng = np.random.default_rng(0)
    for size in (0, 1, 100, 100_000):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            try:
                connection.sendall(rng.bytes(size))
                connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + rng.bytes(size))
            except OSError:
                pass  # It may close the connection first.
    assert stub.Predict(request(history=HISTORY), timeout=20).outputs
    # A well-formed call whose message is no PredictRequest.
    with grpc.insecure_channel(server.address) as channel:
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        for body in (b"\xff" * 50, rng.bytes(1000)):
            with pytest.raises(grpc.RpcError) as caught:
                call(body, timeout=20)
            assert caught.value.code() == CODE.INVALID_ARGUMENT
        unknown = channel.unary_unary("/tensorflow.serving.PredictionService/Regress2")
        with pytest.raises(grpc.RpcError) as caught:
            unknown(b"", timeout=20)
        assert caught.value.code() == CODE.UNIMPLEMENTED


texts = st.binary(max_size=8) | st.integers(-1, 70).map(lambda i: f"i{i}".encode())
sizes = st.integers(-2, 3) | st.sampled_from([2**31, 2**62])
tensors = st.builds(
    proto,
    st.sampled_from([STRING, INT32, FLOAT, 0, 99]) | st.just(STRING),
    st.lists(sizes, max_size=3),
    string_val=st.lists(texts, max_size=6),
    int_val=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3),
    float_val=st.lists(st.floats(width=32), max_size=3),
    tensor_content=st.just(b"") | st.binary(max_size=24),
)
histories = st.integers(1, 3).flatmap(
    lambda width: st.lists(st.lists(texts, min_size=width, max_size=width), min_size=1, max_size=3)
)
inputs = st.dictionaries(
    st.sampled_from(
        ["history", "k", "exclude", "among", "interest_weights", "candidates", "times", ""]
    ),
    tensors
    | histories.map(lambda rows: tf.make_tensor_proto(np.array(rows, object)))
    | st.integers(-3, 70).map(lambda k: tf.make_tensor_proto(np.int32(k))),
    max_size=4,
)


@examples(2_000, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    given_to_it=inputs,
    model=st.sampled_from(["exact", "scann"]) | st.text(max_size=3),
    signature=st.sampled_from(["recommend", "explain", "score", "user_vectors", ""])
    | st.text(max_size=3),
    version=st.none() | st.sampled_from([1, 2, -1]),
    wanted=st.lists(st.sampled_from(["scores", "other"]), max_size=1),
)
def test_whatever_is_asked_gets_a_status(stub, given_to_it, model, signature, version, wanted):
    message = PredictRequest(output_filter=wanted)
    message.model_spec.name = model
    message.model_spec.signature_name = signature
    if version is not None:
        message.model_spec.version.value = version
    for name, value in given_to_it.items():
        message.inputs[name].CopyFrom(value)
    try:
        assert stub.Predict(message, timeout=20).outputs
    except grpc.RpcError as error:
        assert error.code() in (CODE.INVALID_ARGUMENT, CODE.NOT_FOUND), error
        assert error.details().endswith((".", "…"))


def test_the_metadata_are_the_signatures(stub):
    message = GetModelMetadataRequest(metadata_field=["signature_def"])
    message.model_spec.name = "exact"
    response = stub.GetModelMetadata(message, timeout=20)
    signatures = SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    names = {"serving_default", "recommend", "explain", "user_vectors", "score", "diverse"}
    assert signatures.signature_def.keys() == names
    recommend = signatures.signature_def["recommend"]
    assert recommend.inputs["history"].dtype == STRING
    for field in ([], ["graph"]):
        bad = GetModelMetadataRequest(metadata_field=field)
        bad.model_spec.name = "exact"
        with pytest.raises(grpc.RpcError) as caught:
            stub.GetModelMetadata(bad, timeout=20)
        assert caught.value.code() == CODE.INVALID_ARGUMENT


def test_the_status_of_a_model(server):
    assert statuses(server.address)[1].state == ModelVersionStatus.AVAILABLE
    with pytest.raises(grpc.RpcError) as caught:
        statuses(server.address, "other")
    assert caught.value.code() == CODE.NOT_FOUND


def test_health_and_reflection(server):
    with grpc.insecure_channel(server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "tensorflow.serving.PredictionService"):
            answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=20)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        database = ProtoReflectionDescriptorDatabase(channel)
        assert "tensorflow.serving.PredictionService" in database.get_services()
        service = DescriptorPool(database).FindServiceByName("tensorflow.serving.PredictionService")
        assert {method.name for method in service.methods} >= {"Predict", "GetModelMetadata"}


def test_the_python_client(server, exports):
    with Client(server.address) as client:
        ((first, second),) = client.recommend([["i1", "i2"]], k=2, exclude=["i3"])
        assert first.score >= second.score and first.title.startswith("Item, number ")
        (left,) = client.recommend([[f"i{i}" for i in range(59)]], k=60)
        assert [item.item_id for item in left] == ["i59"]
        assert client.recommend([["i1"], [], ["?"]])[1] == client.recommend([[]])[0]
        scores = client.score([["i1", "i2"], ["i5"]], [[first.item_id, "?"], ["i1"]])
        assert scores[0, 0] == pytest.approx(first.score, rel=1e-5)
        assert np.isneginf(scores[0, 1]) and np.isneginf(scores[1, 1])
        (plain,), (diverse,) = client.recommend([["i1"]], 3), client.diverse([["i1"]], 0, 3)
        assert [item.item_id for item in diverse] == [item.item_id for item in plain]
        (diverse,) = client.diverse([["i1"]], 1e3, 3)
        assert {int(item.item_id[1:]) % 3 for item in diverse} == {0, 1, 2}
        (only,) = client.diverse([["i1"]], 1e3, 3, exclude=["i8"], among=["i1", "i7", "i8"])
        assert [item.item_id for item in only] == ["i7"]
        (only,) = client.recommend([["i1"]], among=["i1", "i7", "i8", "?"])
        assert {item.item_id for item in only} == {"i7", "i8"}
        with pytest.raises(ValueError, match="no item to choose among"):
            client.recommend([["i1"]], among=[])
        assert client.user_vectors([["i1"]]).shape == (1, 1, 16)
        assert client.versions() == {1: "AVAILABLE"}


def test_the_python_client_explains(server):
    histories = [["i1", "?", "i2"], ["i3"], []]
    with Client(server.address) as client:
        explanations = client.explain(histories, k=4)
        plain = client.recommend(histories, k=4)
        (second,) = client.explain([["i1", "?", "i2"]], k=4, interest_weights=[0, 1])
    assert [[item.item_id for item in e.items] for e in explanations] == [
        [item.item_id for item in items] for items in plain
    ]
    for history, explanation in zip(histories, explanations, strict=True):
        assert explanation.attention.shape == (len(history), 2)
        assert explanation.interest_weights.sum() == pytest.approx(1, rel=1e-5)
    first, _, unknown = explanations
    np.testing.assert_allclose(first.attention.sum(axis=0), 1, rtol=1e-5)
    assert (first.attention[1] == 0).all() and (first.attention[[0, 2]] > 0).all()
    assert {item.interest for item in first.items} <= {0, 1}
    assert {item.interest for item in unknown.items} == {None}
    assert {item.interest for item in second.items} == {1}
    np.testing.assert_allclose(second.interest_weights, [0, 1], atol=1e-6)


def test_tf_serving_may_join_the_clients_requests(exports, monkeypatch):
    """By the rule of TF-Serving's batching_util.cc: the narrower is filled with its first value."""
    recommend = tf.saved_model.load(str(exports["timirec"] / "exact" / "1")).signatures["recommend"]
    sent = []
    inputs = read_signatures(exports["timirec"] / "exact" / "1")["recommend"].inputs
    monkeypatch.setattr(Client, "_inputs", inputs)
    monkeypatch.setattr(Client, "_predict", lambda self, name, inputs: sent.append(inputs) or 1 / 0)
    questions = [
        (["i1", "i2", "i3"], [], None, [1, 0]),
        (["i4"], ["i5", "i6"], ["i7", "i8", "i5"], None),
    ]
    for history, exclude, among, weights in questions:
        with Client() as client, pytest.raises(ZeroDivisionError):
            client.recommend([history], 3, exclude, among=among, interest_weights=weights)

    def ask(inputs):
        return recommend(**{name: tf.constant(array) for name, array in inputs.items()})

    def joined(arrays):
        widths = [array.shape[1:] for array in arrays]
        if max(widths) == ():
            return np.concatenate(arrays)
        pads = [((0, 0), (0, max(widths)[0] - array.shape[1])) for array in arrays]
        filled = [
            np.pad(array, pad, constant_values=array.flat[0])
            for array, pad in zip(arrays, pads, strict=True)
        ]
        return np.concatenate(filled)

    together = ask({name: joined([inputs[name] for inputs in sent]) for name in sent[0]})
    alone = [ask(inputs)["item_ids"].numpy() for inputs in sent]
    np.testing.assert_array_equal(together["item_ids"].numpy(), np.concatenate(alone))


def test_the_client_on_the_command_line(server):
    def ask(*arguments):
        return run(["-m", "tfrs_timirec.export.client", *arguments])

    done = ask("i1", "i2", "--k=3", "--exclude", "i59", "--address", server.address)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Item, number ") == 3
    done = ask("i1", "--k=4", "--diversity=1000", "--address", server.address)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("│ i") == 4
    done = ask("i1", "[/?]", "--explain", "--among", "i5", "i1", "--address", server.address)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Item, number ") == 1
    assert "┃ interest 1" in done.stdout and "│ [/?]    │ 0.00" in done.stdout
    done = ask("i1", "--diversity=1", "--explain", "--address", server.address)
    assert done.returncode == 2 and "do not go together" in done.stderr
    done = ask("i1", "--k=61", "--address", server.address)
    assert done.returncode == 2
    assert "INVALID_ARGUMENT: k must be from 1 to 60" in done.stderr
    done = ask("i1", "--k=3000000000", "--address", server.address)
    assert done.returncode == 2 and "A number is too large" in done.stderr


def test_integer_ids_times_and_metrics(serve, exports, tmp_path):
    """The other models, in one folder: ComiRec's as `integers`, TiSASRec's as `timed`."""
    for name, system, model in (("integers", "comirec", "scann"), ("timed", "tisasrec", "exact")):
        shutil.copytree(exports[system] / model, tmp_path / name)
    port = free_port()
    server = serve(tmp_path, f"--metrics_port={port}")
    with Client(server.address, "integers", timeout=60) as client:
        ((first, *_),) = client.recommend([[1000, 1001]], k=300)
        assert isinstance(first.item_id, int) and first.title is None
        # More than the 4 MiB that gRPC lets a client have by itself.
        many = client.recommend([[1000]] * 1000, k=400)
        assert many[0] == many[-1] and len(many[0]) == 400
        assert client.user_vectors([[1000], [1001, 1002]]).shape == (2, 2, 16)
    with Client(server.address, "timed", timeout=60) as client:
        soon = client.user_vectors([["i1", "i2", "i3"]], [[0, 1, 2]])
        late = client.user_vectors([["i1", "i2", "i3"]], [[0, 1, 900]])
        assert np.abs(soon - late).max() > 1e-6
        assert len(client.recommend([["i1"], ["i2", "i3"]], 4, times=[[5], [1, 2]])[1]) == 4
        with pytest.raises(grpc.RpcError) as caught:
            client.recommend([["i1"]])
        assert "times is missing" in caught.value.details()
    text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
    wanted = 'timirec_requests_total{model="timed",signature="user_vectors",status="OK"} 2.0'
    assert wanted in text
    assert 'timirec_serving_version{model="integers"} 1.0' in text


def test_tls_and_mutual_tls(serve, exports, tmp_path):
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    for name, issuer in (("server", authority), ("client", authority), ("stranger", stranger)):
        certificate = issuer.issue_cert("localhost", "127.0.0.1")
        certificate.private_key_pem.write_to_path(tmp_path / f"{name}.key")
        certificate.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
    server = serve(
        exports["popularity"],
        f"--certificate={tmp_path / 'server.pem'}",
        f"--key={tmp_path / 'server.key'}",
        f"--client_certificates={tmp_path / 'authority.pem'}",
    )

    def ask(tls):
        with Client(server.address, tls=tls, timeout=5) as client:
            return client.recommend([["i1"]], k=3)

    pem = {name: tmp_path / f"{name}.pem" for name in ("authority", "client", "stranger")}
    (items,) = ask(TLS(pem["authority"], pem["client"], tmp_path / "client.key"))
    assert len(items) == 3
    command = ["-m", "tfrs_timirec.export.client", "i1", "--address", server.address]
    files = ["--tls.authorities", pem["authority"], "--tls.certificate", pem["client"]]
    done = run([*command, *files, "--tls.key", tmp_path / "client.key"])
    assert done.returncode == 0 and items[0].item_id in done.stdout, done.stderr
    for half in ({"certificate": pem["client"]}, {"key": tmp_path / "client.key"}):
        with pytest.raises(UserError, match="give both"):
            ask(TLS(pem["authority"], **half))
    without = TLS(pem["authority"])
    by_stranger = TLS(pem["authority"], pem["stranger"], tmp_path / "stranger.key")
    for tls in (None, without, by_stranger):
        with pytest.raises(grpc.RpcError) as caught:
            ask(tls)
        assert caught.value.code() in (CODE.UNAVAILABLE, CODE.DEADLINE_EXCEEDED)


def test_too_many_requests_are_turned_away_and_the_others_answered(serve, exports):
    server = serve(exports["popularity"], "--queue_length=1", "--workers=1", "--batch_size=1")
    with server.stub() as stub:
        calls = [stub.Predict.future(request(history=HISTORY), timeout=60) for _ in range(400)]
        codes = [call.code() for call in calls]
        assert set(codes) == {CODE.OK, CODE.RESOURCE_EXHAUSTED}
        turned_away = calls[codes.index(CODE.RESOURCE_EXHAUSTED)]
        assert "wait already" in turned_away.details()
        assert stub.Predict(request(history=HISTORY), timeout=20).outputs


@pytest.mark.long
def test_after_sigkill_it_serves_again(serve, exports):
    server = serve(exports["popularity"])
    with server.stub() as stub:
        before = stub.Predict(request(history=HISTORY), timeout=20)
    server.process.kill()
    server.process.wait()
    port = server.address.rsplit(":", 1)[1]
    again = serve(exports["popularity"], f"--port={port}")
    assert again.address == server.address
    with again.stub() as stub:
        assert stub.Predict(request(history=HISTORY), timeout=20) == before


def test_many_clients_at_once(server):
    def ask(number):
        with Client(server.address, timeout=30) as client:
            (items,) = client.recommend([[f"i{number}"]], k=6)
            return [item.item_id for item in items]

    numbers = list(range(24)) * 2
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(ask, numbers))
    assert answers[:24] == answers[24:]
    assert all(f"i{number}" not in items for number, items in zip(numbers, answers, strict=True))
    with grpc.insecure_channel(server.address) as channel:
        assert PredictionServiceStub(channel).Predict(request(history=HISTORY), timeout=20).outputs
