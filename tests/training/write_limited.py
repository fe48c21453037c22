"""Saves a checkpoint that is larger than the system allows; expects to be told.

Usage: python write_limited.py <path> <most bytes of a file>
"""

import resource
import sys
from pathlib import Path

import keras
import numpy as np

from tfrs_timirec.errors import UserError
from tfrs_timirec.training import checkpoint

values = keras.Variable(np.ones((500, 100), "float32"))
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    checkpoint.save(Path(sys.argv[1]), {"values": values}, {})
except UserError as error:
    sys.exit(f"told: {error}")
