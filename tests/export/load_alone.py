"""Loads SavedModels with tensorflow and scann alone, and prints what each recommends.

Usage: python load_alone.py <version folder> <inputs as JSON> [and so on, in pairs]
"""

import json
import sys

import scann  # noqa: F401 - registers ScaNN's operations
import tensorflow as tf

answers = []
for folder, given in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    recommend = tf.saved_model.load(folder).signatures["recommend"]
    _, specs = recommend.structured_input_signature
    inputs = json.loads(given).items()
    outputs = recommend(**{name: tf.constant(value, specs[name].dtype) for name, value in inputs})
    answers.append({name: tensor.numpy().tolist() for name, tensor in outputs.items()})
for name in ("tensorflow_recommenders", "tfrs_timirec", "export", "tensorflow_serving"):
    assert name not in sys.modules, name
print(json.dumps(answers, default=bytes.decode))
