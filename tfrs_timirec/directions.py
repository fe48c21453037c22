"""Vectors of length 1."""

import numpy as np


def directions(vectors: np.ndarray) -> np.ndarray:
    """The vectors' directions.

    Args:
        vectors: float [..., D].

    Returns:
        Of the same shape and dtype, of length 1; of length 0 where a vector is.
    """
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(norms, np.finfo(norms.dtype).tiny)
