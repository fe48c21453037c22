"""Multi-interest sequential recommendation on TensorFlow Recommenders.

Importing this package imports neither TensorFlow nor Keras. It only asks
TensorFlow for the Keras 2 API that tensorflow-recommenders is written against,
which must be decided before TensorFlow is imported.
"""

import os

__version__ = "0.1.0"

if os.environ.get("TF_USE_LEGACY_KERAS", "").lower() not in ("1", "true"):
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
