"""Tests that compute in numbers of 16 bits."""

import os

import pytest

halves = pytest.mark.skipif(
    "ONEDNN_MAX_CPU_ISA" in os.environ,
    reason="TensorFlow asks oneDNN for what the processor can do, and crashes if this forbids it",
)
