"""Imports the package and its layers after Keras: nothing else in the process changes.

Usage: python import_alone.py
"""

import os
import sys

import keras

environment, modules = dict(os.environ), set(sys.modules)

import tfrs_timirec  # noqa: E402
import tfrs_timirec.layers  # noqa: E402

assert dict(os.environ) == environment
assert {name.partition(".")[0] for name in set(sys.modules) - modules} == {tfrs_timirec.__name__}
assert (keras.backend.backend() == "tensorflow") == ("tensorflow" in sys.modules)
