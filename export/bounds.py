"""What a request may ask of a SavedModel: a server like TF-Serving has no other guard."""

import tensorflow as tf

from tfrs_timirec.export.settings import ExportSettings
from tfrs_timirec.export.signatures import Tensors


def size_checks(inputs: Tensors, settings: ExportSettings) -> list[tf.Operation | None]:
    """Assertions that a request is not too large.

    Args:
        inputs: By name; `history` [batch, n] is among them.
        settings: The bounds.

    Returns:
        Operations that raise `tf.errors.InvalidArgumentError`, with a sentence.
    """
    rows, most = tf.shape(inputs["history"], tf.int64)[0], settings.input_elements
    told = f"At most {settings.request_rows} users may be in a request; there are"
    checks = [tf.debugging.Assert(rows <= settings.request_rows, [told, rows])]
    for name, value in inputs.items():
        # A number is one for all users or one for each, which `checked` sees to.
        if value.shape.rank == 2:
            told = f"{name} may have at most {most} values for all users; it has"
            elements = rows * tf.shape(value, tf.int64)[1]
            checks.append(tf.debugging.Assert(elements <= most, [told, elements]))
    if "k" in inputs:
        told = f"At most {most} items may be asked for by all users; it is"
        items = rows * tf.reduce_max(tf.cast(inputs["k"], tf.int64))
        checks.append(tf.debugging.Assert(items <= most, [told, items]))
    return checks


def bounded(value: tf.Tensor, factors: list[tf.Tensor | int], most: int, told: str) -> tf.Tensor:
    """A tensor for whoever computes something large from it.

    Args:
        value: Of any type and shape.
        factors: int32 [] each; their product is how large.
        most: How large it may be.
        told: The sentence up to the product.

    Returns:
        The same.

    Raises:
        tf.errors.InvalidArgumentError: When the graph runs, if the product is larger.
    """
    product = tf.reduce_prod([tf.cast(factor, tf.int64) for factor in factors])
    with tf.control_dependencies([tf.debugging.Assert(product <= most, [told, product])]):
        return tf.identity(value)
