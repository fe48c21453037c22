"""Softmax over what is there."""

import keras
from keras import ops


def masked_softmax(scores, mask, axis: int = -1):
    """A softmax in which masked scores have no share, unless nothing else is there.

    Args:
        scores: float [...].
        mask: bool, which broadcasts to the scores; true where one counts.
        axis: Along which the shares sum to 1.

    Returns:
        float [...], the shares; equal ones where the mask is false along the whole axis.
    """
    # -1e9 is infinite in float16, and a row of infinities has no softmax.
    lowest = -6e4 if keras.backend.standardize_dtype(scores.dtype) == "float16" else -1e9
    return ops.softmax(ops.where(mask, scores, lowest), axis=axis)
