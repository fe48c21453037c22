"""Tensors of requests and answers, checked against a signature."""

import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from google.protobuf.message import Message
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow.core.framework.tensor_shape_pb2 import TensorShapeProto
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from tfrs_timirec.export import messages
from tfrs_timirec.export.server.errors import invalid


def read_inputs(
    inputs: Mapping[str, TensorProto], signature: SignatureDef
) -> dict[str, np.ndarray]:
    """The arrays of a request; inputs that it leaves out take the signature's defaults.

    Args:
        inputs: The request's tensors by name.
        signature: Of the model.

    Returns:
        An array an input of the signature; object arrays of bytes for strings.

    Raises:
        RequestError: If an input is unknown, missing, not of its type or shape, or not a number.
    """
    check_names(inputs, signature)
    return {name: _read(name, inputs, signature) for name in sorted(signature.inputs)}


def check_names(inputs: Mapping[str, object], signature: SignatureDef) -> None:
    """Refuses inputs that the signature does not have.

    Args:
        inputs: By name.
        signature: Of the model.

    Raises:
        RequestError: If there is one.
    """
    unknown = sorted(inputs.keys() - signature.inputs.keys())
    if unknown:
        known = ", ".join(sorted(signature.inputs))
        raise invalid(f"There is no input {unknown[0]}; the signature's inputs are {known}.")


def _read(name, inputs, signature):
    info = signature.inputs[name]
    if name in inputs:
        proto = inputs[name]
    elif name in signature.defaults:
        return tf.make_ndarray(signature.defaults[name])
    else:
        raise invalid(f"The input {name} is missing.")
    if proto.dtype != info.dtype:
        raise invalid(
            f"The input {name} is {_dtype(proto.dtype)}; it must be {_dtype(info.dtype)}."
        )
    shape = [dimension.size for dimension in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or not _fits(shape, info.tensor_shape):
        wanted = [d.size if d.size >= 0 else "?" for d in info.tensor_shape.dim]
        raise invalid(f"The input {name} has the shape {shape}; it must be {wanted}.")
    unfit = invalid(f"The values of the input {name} do not fill its shape {shape}.")
    _, field = messages.FIELDS.get(np.dtype(tf.dtypes.as_dtype(info.dtype).as_numpy_dtype), (0, ""))
    # TensorFlow would make an array of them all before it looks at the shape.
    if field and len(getattr(proto, field)) > math.prod(shape):
        raise unfit
    try:
        array = tf.make_ndarray(proto)
    except (ValueError, TypeError):
        raise unfit from None
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise invalid(f"The input {name} holds a NaN.")
    return array


def _dtype(number: int) -> str:
    try:
        return tf.dtypes.as_dtype(number).name
    except TypeError:
        return f"of the unknown type {number}"


def _fits(shape: list[int], wanted: TensorShapeProto) -> bool:
    if wanted.unknown_rank:
        return min(shape, default=0) >= 0
    return len(shape) == len(wanted.dim) and all(
        size >= 0 and dimension.size in (-1, size)
        for size, dimension in zip(shape, wanted.dim, strict=True)
    )


def write_output(proto: Message, array: np.ndarray) -> None:
    """Fills a TensorProto with an array, in the typed field, as TF-Serving does.

    Args:
        proto: An empty TensorProto.
        array: Of any type; bytes for strings.
    """
    if array.dtype in messages.FIELDS:
        messages.write(proto, array)
    else:
        proto.CopyFrom(tf.make_tensor_proto(array))
