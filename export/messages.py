"""The messages of TensorFlow and TF-Serving without TensorFlow, whose import takes seconds."""

import importlib.util
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import numpy as np


@contextmanager
def without_tensorflow() -> Iterator[None]:
    """In the block, `tensorflow` is the package of its generated messages alone.

    Whoever imports it later gets all of it. The block imports modules of messages and stubs.
    """
    if "tensorflow" in sys.modules:
        yield
        return
    spec = importlib.util.find_spec("tensorflow")
    package = ModuleType("tensorflow")
    package.__path__ = spec.submodule_search_locations
    sys.modules["tensorflow"] = package
    try:
        yield
    finally:
        del sys.modules["tensorflow"]


with without_tensorflow():
    from tensorflow.core.framework import types_pb2
    from tensorflow.core.framework.tensor_pb2 import TensorProto

# The type of a tensor and the field that TF-Serving answers with, by the type of an array.
FIELDS = {
    np.dtype(np.float32): (types_pb2.DT_FLOAT, "float_val"),
    np.dtype(np.float64): (types_pb2.DT_DOUBLE, "double_val"),
    np.dtype(np.int32): (types_pb2.DT_INT32, "int_val"),
    np.dtype(np.int64): (types_pb2.DT_INT64, "int64_val"),
    np.dtype(np.bool_): (types_pb2.DT_BOOL, "bool_val"),
    np.dtype(object): (types_pb2.DT_STRING, "string_val"),
}
_DTYPES = {number: (dtype, field) for dtype, (number, field) in FIELDS.items()}


def write(tensor: TensorProto, array: np.ndarray) -> None:
    """Fills a tensor with the values of an array.

    Args:
        tensor: An empty one.
        array: Of a type of `FIELDS`; objects are bytes.
    """
    tensor.dtype, field = FIELDS[array.dtype]
    for size in array.shape:
        tensor.tensor_shape.dim.add().size = size
    getattr(tensor, field).extend(array.ravel().tolist())


def array_of(tensor: TensorProto) -> np.ndarray:
    """The values of a tensor, in whichever of the ways a server may write them.

    Args:
        tensor: Of numbers, bool or strings.

    Returns:
        An array of the tensor's shape; object arrays of bytes for strings.
    """
    dtype, field = _DTYPES[tensor.dtype]
    shape = [dimension.size for dimension in tensor.tensor_shape.dim]
    if tensor.tensor_content:
        return np.frombuffer(tensor.tensor_content, dtype).reshape(shape)
    values = list(getattr(tensor, field)) or [b"" if dtype.kind == "O" else 0]
    # Of values that end in the same, the last may be written once.
    size = math.prod(shape)
    values += values[-1:] * (size - len(values))
    return np.array(values[:size], dtype).reshape(shape)
