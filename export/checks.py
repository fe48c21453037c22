"""Whether the inputs of a request make sense, asked in the graph."""

import tensorflow as tf

from tfrs_timirec.export.bounds import size_checks
from tfrs_timirec.export.settings import ExportSettings
from tfrs_timirec.export.signatures import Tensors


def checked(inputs: Tensors, catalogue_size: int, settings: ExportSettings) -> Tensors:
    """The same inputs, for whoever may rely on them.

    Args:
        inputs: By name; `history` is among them.
        catalogue_size: The largest k.
        settings: The bounds of a request.

    Raises:
        tf.errors.InvalidArgumentError: When the graph runs, with a sentence, if there is no
            history, the request is too large, the times are not those of the history, an input has
            neither one row for all users nor one for each, or a number is out of range.
    """
    users = tf.shape(inputs["history"])[0]
    checks = [tf.debugging.Assert(users > 0, ["The batch has no history."])]
    checks += size_checks(inputs, settings)
    for name, value in inputs.items():
        if name == "history":
            continue
        if name == "times":
            shapes = tf.shape(inputs["history"]), tf.shape(value)
            told = "Each item of the history needs its time: history and times have the shapes"
            same = tf.reduce_all(shapes[0] == shapes[1])
            checks.append(tf.debugging.Assert(same, [told, *shapes]))
            continue
        number = value.shape.rank is None
        rows = tf.size(value) if number else tf.shape(value)[0]
        what = f"number {name}" if number else f"row of {name}"
        told = f"There must be one {what} for all users, or one for each; there are"
        checks.append(tf.debugging.Assert((rows == 1) | (rows == users), [told, rows]))
    if "k" in inputs:
        k = inputs["k"]
        told = f"k must be from 1 to {catalogue_size}, the size of the catalogue; it is"
        in_range = tf.reduce_all((k >= 1) & (k <= catalogue_size))
        checks.append(tf.debugging.Assert(in_range, [told, k]))
    if "diversity" in inputs:
        told = "diversity must be a number from 0 up; it is"
        usable = tf.reduce_all(_usable(inputs["diversity"]))
        checks.append(tf.debugging.Assert(usable, [told, inputs["diversity"]]))
    if "interest_weights" in inputs:
        weights = inputs["interest_weights"]
        told = "interest_weights must be numbers from 0 up, not all of them 0; they are"
        usable = tf.reduce_all(_usable(weights)) & tf.reduce_all(tf.reduce_any(weights > 0, axis=1))
        checks.append(tf.debugging.Assert(usable, [told, weights]))
    with tf.control_dependencies(checks):
        return {name: tf.identity(value) for name, value in inputs.items()}


def _usable(numbers):
    return tf.math.is_finite(numbers) & (numbers >= 0)
