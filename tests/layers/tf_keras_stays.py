"""Uses `tf.keras`, then the recommender, and asserts that `tf.keras` is what it was.

Usage: python tf_keras_stays.py
"""

import os

import keras
import tensorflow as tf

assert tf.keras.version() == keras.version()
environment = dict(os.environ)

import tfrs_timirec  # noqa: E402

recommender = tfrs_timirec.Recommender(system="gru4rec")
assert recommender.settings.model.system == "gru4rec"
assert tf.keras.version() == keras.version() and keras.version().startswith("3.")
assert isinstance(tf.keras.layers.Dense(2), keras.layers.Dense)
assert "TF_USE_LEGACY_KERAS" not in os.environ
changed = set(os.environ.items()) ^ set(environment.items())
assert changed == set(), changed
