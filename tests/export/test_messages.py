"""Tensors without TensorFlow, against TensorFlow's own, and a client that does not import it."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tests.processes import ROOT
from tfrs_timirec.export.messages import FIELDS, TensorProto, array_of, write

CLIENT = """
import sys
from tfrs_timirec.export.client import Client
with Client(sys.argv[1]) as client:
    (items,) = client.recommend([["i1", "i2"]], k=3)
    print(len(items), client.versions())
assert "tensorflow" not in sys.modules and "tensorflow.python" not in sys.modules
"""
AFTERWARDS = """
import tensorflow as tf
print(tf.function(lambda x: x + 1)(tf.constant(1)).numpy())
"""


def of_each_type() -> st.SearchStrategy[np.ndarray]:
    shapes = array_shapes(min_dims=0, min_side=0, max_dims=3, max_side=4)
    strings = st.binary(max_size=5).filter(lambda value: not value.endswith(b"\0"))
    return st.sampled_from(sorted(FIELDS, key=str)).flatmap(
        lambda dtype: arrays(dtype, shapes, elements=strings if dtype.kind == "O" else None)
    )


@given(of_each_type())
def test_tensors_are_those_of_tensorflow(array):
    ours = TensorProto()
    write(ours, array)
    np.testing.assert_array_equal(tf.make_ndarray(ours), array)
    theirs = tf.make_tensor_proto(array, shape=array.shape)
    found = array_of(theirs)
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype and found.shape == array.shape


@pytest.mark.parametrize("values", [[], [7], [7, 8]])
def test_the_last_value_stands_for_those_that_are_left_out(values):
    tensor = TensorProto(dtype=tf.int32.as_datatype_enum, int_val=values)
    for size in (2, 2):
        tensor.tensor_shape.dim.add().size = size
    assert array_of(tensor).tolist() == tf.make_ndarray(tensor).tolist()


@pytest.mark.parametrize(
    ("afterwards", "told"), [("", []), pytest.param(AFTERWARDS, ["2"], marks=pytest.mark.long)]
)
def test_the_client_asks_without_importing_tensorflow(server, afterwards, told):
    done = subprocess.run(
        [sys.executable, "-c", CLIENT + afterwards, server.address],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["3 {1: 'AVAILABLE'}", *told]
