"""A request that names much in few bytes takes little: in the server, and in the SavedModel."""

import time

import grpc
import numpy as np
import pytest
import tensorflow as tf

from benchmarks.soak import resident
from tests.export.conftest import Loaded, proto, request
from tfrs_timirec.errors import UserError
from tfrs_timirec.export.publish import publish
from tfrs_timirec.export.server.versions import Version
from tfrs_timirec.export.settings import ExportSettings

STRING, INT32 = tf.string.as_datatype_enum, tf.int32.as_datatype_enum
CODE = grpc.StatusCode


def asked(signature="recommend", **inputs):
    message = request(signature)
    for name, value in inputs.items():
        message.inputs[name].CopyFrom(value)
    return message


def ids(rows, columns, *values):
    return proto(STRING, [rows, columns], string_val=values)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        pytest.param(
            asked(history=ids(3_000_000, 0)),
            "history has 3000000 rows; at most 1024",
            marks=pytest.mark.long,
        ),
        (asked("", history=ids(1_000_000, 1, b"i1")), "history has 1000000 rows"),
        (
            asked("score", history=ids(20_000, 1, b"i1"), candidates=ids(1, 20_000, b"i1")),
            "20000 rows",
        ),
        pytest.param(
            asked("score", history=ids(1_000, 1, b"i1"), candidates=ids(1, 20_000, b"i1")),
            "candidates has 20000000 values in 1000 rows; at most 1000000",
            marks=pytest.mark.long,
        ),
        (
            asked(history=ids(1_000, 1, b"i1"), among=ids(1, 2_000, b"i1")),
            "among has 2000000 values",
        ),
        pytest.param(
            asked(history=ids(1_000, 1, b"i1"), exclude=ids(1, 2_000, b"i1")),
            "exclude has 2000000 values",
            marks=pytest.mark.long,
        ),
        (
            asked(history=ids(1_000, 1), k=proto(INT32, [], int_val=[2_000_000_000])),
            "k is 2000000000 in 1000 rows",
        ),
        pytest.param(
            asked(history=ids(1, 1), k=proto(INT32, [2**60])),
            "rows; at most",
            marks=pytest.mark.long,
        ),
        pytest.param(
            asked(history=ids(1, 1), k=proto(INT32, [1] * 100_000)),
            "k has 100000 dimensions",
            marks=pytest.mark.long,
        ),
        pytest.param(asked(history=ids(1, 2**62)), "values in 1 rows", marks=pytest.mark.long),
        (asked(history=ids(1, 1, *[b""] * 1_000_000)), "do not fill"),
    ],
    ids=lambda value: "",
)
def test_the_server_refuses_before_memory_is_taken(server, message, said):
    before, began = resident(server.process.pid), time.monotonic()
    with server.stub() as stub, pytest.raises(grpc.RpcError) as caught:
        stub.Predict(message, timeout=60)
    assert caught.value.code() == CODE.INVALID_ARGUMENT
    assert said in caught.value.details()
    assert time.monotonic() - began < 30
    assert resident(server.process.pid) - before < 100 * 1024


@pytest.mark.parametrize(
    "message",
    [
        asked("explain", history=ids(1_000, 1_000, b"i1")),
        asked("score", history=ids(1_024, 1, b"i1"), candidates=ids(1, 970, b"i2")),
        asked(history=ids(1_024, 1, b"i1"), among=ids(1, 970, b"i2")),
        asked("diverse", history=ids(1_024, 1, b"i1"), k=proto(INT32, [], int_val=[60])),
    ],
    ids=lambda value: "",
)
def test_the_most_that_is_let_in_takes_seconds_and_no_gigabyte(server, message):
    if message.model_spec.signature_name == "diverse":
        message.inputs["diversity"].CopyFrom(tf.make_tensor_proto(np.float32(1)))
    before = resident(server.process.pid)
    with server.stub() as stub:
        try:
            assert stub.Predict(message, timeout=30).outputs
        except grpc.RpcError as error:
            # An answer larger than the client takes.
            assert error.code() == CODE.RESOURCE_EXHAUSTED
    assert resident(server.process.pid) - before < 500 * 1024


def refused(loaded, said, signature="recommend", **inputs):
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        loaded(signature, **inputs)
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("system", "name"),
    [
        ("timirec", "exact"),
        ("comirec", "scann"),
        pytest.param("timirec", "scann", marks=pytest.mark.long),
        pytest.param("comirec", "exact", marks=pytest.mark.long),
    ],
)
def test_the_savedmodel_refuses_too_many_rows_values_and_items(loaded, system, name):
    model = loaded[system, name]
    dtype = object if system == "timirec" else np.int64
    many = np.full([1_025, 1], b"i1" if system == "timirec" else 1000, dtype)
    history, wide = many[:1_000], np.tile(many[:1], (1, 1_001))
    for signature in ("serving_default", "recommend", "explain", "user_vectors"):
        refused(model, "At most 1024 users may be in a request; there are", signature, history=many)
    refused(model, "candidates may have at most 1000000", "score", history=history, candidates=wide)
    for what in ("among", "exclude"):
        refused(model, f"{what} may have at most 1000000", history=history, **{what: wide})
    refused(model, "history may have at most", history=np.tile(history, (1, 1_001)))
    if system == "comirec":
        refused(model, "At most 1000000 items may be asked for", history=history, k=1_001)


@pytest.mark.long
def test_the_savedmodel_bounds_what_an_answer_takes(recommenders, titles, tmp_path):
    settings = ExportSettings(
        k=5,
        titles=str(titles),
        categories_column="kind",
        input_elements=100,
        request_scores=10 * 60,
    )
    publish(recommenders["timirec"], tmp_path, settings, ["exact"])
    model = Loaded(tmp_path / "exact" / "1")
    row = np.array([[b"i1", b"i2"]], object)
    assert model(history=np.tile(row, (10, 1)))["scores"].shape == (10, 5)
    refused(model, "At most 600 scores", history=np.tile(row, (11, 1)))
    # Ten and the two of the history for each.
    refused(model, "k and what is excluded may be at most 100", history=np.tile(row, (9, 1)), k=10)
    ask = {"diversity": np.float32(1), "history": np.tile(row, (2, 1))}
    assert model("diverse", k=5, **ask)["scores"].shape == (2, 5)
    refused(model, "Users times candidates times k", "diverse", k=13, **ask)


@pytest.mark.long
def test_small_bounds_leave_a_model_that_loads(recommenders, tmp_path):
    publish(recommenders["popularity"], tmp_path, ExportSettings(k=5, request_rows=8), ["exact"])
    assert Version("exact", 1, tmp_path / "exact" / "1").signatures
    with pytest.raises(UserError, match="one user needs --input_elements 20 and"):
        publish(recommenders["comirec"], tmp_path, ExportSettings(k=5, input_elements=19))


def test_a_request_for_the_whole_catalogue_is_answered(loaded):
    answer = loaded["comirec", "scann"](history=np.array([[1000]]), k=1_400)
    assert answer["item_ids"].shape == (1, 1_400)
