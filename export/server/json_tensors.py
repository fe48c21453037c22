"""Tensors as TF-Serving's REST protocol writes them, in JSON."""

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse

from tfrs_timirec.export import messages
from tfrs_timirec.export.server.bounds import check_shapes
from tfrs_timirec.export.server.errors import invalid
from tfrs_timirec.export.server.settings import ServerSettings
from tfrs_timirec.export.server.tensors import check_names

BYTES = "b64"
# What the values of an input are called, and what they are in Python, by the kind of its type.
KINDS = {"O": ("strings", str), "f": ("numbers", (int, float)), "b": ("true or false", bool)}
INTEGERS = ("integers", int)


def read_request(
    body: object, signature: SignatureDef, request: PredictRequest, settings: ServerSettings
) -> bool:
    """Fills in the inputs of a request.

    Args:
        body: The JSON: `instances`, a value or an object of inputs for each row, or `inputs`,
            tensors by name. Where the signature has one input, its name may be left out.
        signature: What is asked.
        request: Where the inputs go.
        settings: The bounds of their shapes.

    Returns:
        Whether the answer goes by rows.

    Raises:
        RequestError: If the body is something else, too large, or its values are not of the
            signature's types.
    """
    if not isinstance(body, dict) or ("instances" in body) == ("inputs" in body):
        raise invalid("The body must be a JSON object with either instances or inputs.")
    by_row = "instances" in body
    inputs = _columns(body["instances"], signature) if by_row else body["inputs"]
    if not isinstance(inputs, dict) or _is_bytes(inputs):
        inputs = {_only(signature.inputs, "input"): inputs}
    check_names(inputs, signature)
    shapes = {name: _shape(value) for name, value in inputs.items()}
    # Before each value is looked at, which takes a microsecond or two.
    check_shapes(shapes, settings)
    for name, value in inputs.items():
        dtype = np.dtype(tf.dtypes.as_dtype(signature.inputs[name].dtype).as_numpy_dtype)
        messages.write(request.inputs[name], _array(name, value, shapes[name], dtype))
    return by_row


def write_response(response: PredictResponse, by_row: bool) -> dict:
    """The answer, as JSON's types.

    Args:
        response: With the outputs.
        by_row: Whether to give `predictions`, a value or an object for each row, or `outputs`.

    Raises:
        RequestError: If rows are asked for of outputs that have none.
    """
    outputs = {name: messages.array_of(tensor) for name, tensor in response.outputs.items()}
    if by_row and len({array.shape[:1] for array in outputs.values()} | {()}) != 2:
        raise invalid("The outputs have no rows in common: ask by inputs instead of instances.")
    values = {name: _plain(name, array) for name, array in sorted(outputs.items())}
    if len(values) == 1:
        (of_all,) = values.values()
    elif by_row:
        of_all = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    else:
        of_all = values
    return {"predictions" if by_row else "outputs": of_all}


def _only(named: Mapping, what: str) -> str:
    if len(named) != 1:
        raise invalid(f"The signature has several {what}s: give an object of them by name.")
    return next(iter(named))


def _columns(instances: object, signature: SignatureDef) -> dict[str, list]:
    """The values of each input, a row each."""
    if not isinstance(instances, list) or not instances:
        raise invalid("The instances must be a list of at least one row.")
    if not isinstance(instances[0], dict) or _is_bytes(instances[0]):
        return {_only(signature.inputs, "input"): instances}
    names = instances[0].keys()
    if any(not isinstance(row, dict) or row.keys() != names for row in instances):
        raise invalid("The instances must all have the same inputs.")
    return {name: [row[name] for row in instances] for name in names}


def _is_bytes(value: object) -> bool:
    return isinstance(value, dict) and value.keys() == {BYTES}


def _shape(value: object) -> list[int]:
    """That of nested lists which are rectangular, by the first of each."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    return shape


def _array(name: str, value: object, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
    """An array of nested lists.

    Raises:
        RequestError: If they are not of the shape, or a value is not of the type.
    """
    kind, types = KINDS.get(dtype.kind, INTEGERS)
    try:
        flat = [_checked(leaf, types) for leaf in _leaves(value, shape)]
        array = np.empty(len(flat), dtype)
        array[:] = flat
    except (TypeError, ValueError, OverflowError, binascii.Error):
        told = f"The input {name} must be {kind} of the type {dtype.name}, in lists of one length."
        raise invalid(told.replace(" of the type object", "")) from None
    return array.reshape(shape)


def _leaves(value: object, shape: Sequence[int]) -> Iterator[object]:
    if not shape:
        yield value
        return
    if not isinstance(value, list) or len(value) != shape[0]:
        raise ValueError
    for part in value:
        yield from _leaves(part, shape[1:])


def _checked(value: object, types: type | tuple[type, ...]) -> bytes | float | bool:
    if types is str and _is_bytes(value):
        return base64.b64decode(value[BYTES], validate=True)
    # Python counts bool among the integers.
    if isinstance(value, bool) != (types is bool) or not isinstance(value, types):
        raise TypeError
    return value.encode() if types is str else value


def _plain(name: str, array: np.ndarray):
    """Nested lists; strings are text, but base64 where the output's name ends in _bytes."""
    if array.dtype.kind != "O":
        return array.tolist()
    if name.endswith("_bytes"):
        texts = [{BYTES: base64.b64encode(value).decode()} for value in array.ravel()]
    else:
        texts = [value.decode("utf-8", "replace") for value in array.ravel()]
    plain = np.empty(array.size, object)
    plain[:] = texts
    return plain.reshape(array.shape).tolist()
