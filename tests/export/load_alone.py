"""Loads a SavedModel with tensorflow and scann alone, and prints what it recommends.

Usage: python load_alone.py <version folder> <inputs as JSON>
"""

import json
import sys

import scann  # noqa: F401 - registers ScaNN's operations
import tensorflow as tf

inputs = json.loads(sys.argv[2])
recommend = tf.saved_model.load(sys.argv[1]).signatures["recommend"]
_, specs = recommend.structured_input_signature
outputs = recommend(
    **{name: tf.constant(value, specs[name].dtype) for name, value in inputs.items()}
)
for name in ("tensorflow_recommenders", "tfrs_timirec", "export", "tensorflow_serving"):
    assert name not in sys.modules, name
answer = {name: tensor.numpy().tolist() for name, tensor in outputs.items()}
print(json.dumps(answer, default=bytes.decode))
