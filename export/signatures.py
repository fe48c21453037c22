"""Functions of named tensors as signatures of a SavedModel."""

from collections.abc import Callable
from inspect import Parameter, Signature

import tensorflow as tf

Tensors = dict[str, tf.Tensor]


def signature(
    function: Callable[[Tensors], Tensors],
    inputs: dict[str, tf.TensorSpec],
    defaults: Tensors,
) -> tf.types.experimental.PolymorphicFunction:
    """The function as TensorFlow saves a signature: with a parameter for each input.

    Args:
        function: From inputs to outputs, both by name.
        inputs: Type and shape by name; those that have a default come last.
        defaults: What the inputs are that a request leaves out.

    Returns:
        A function for `tf.saved_model.save`.
    """

    def of_parameters(*values):
        return function(dict(zip(inputs, values, strict=True)))

    of_parameters.__signature__ = Signature(
        Parameter(
            name, Parameter.POSITIONAL_OR_KEYWORD, default=defaults.get(name, Parameter.empty)
        )
        for name in inputs
    )
    specs = [tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in inputs.items()]
    return tf.function(of_parameters, input_signature=specs, autograph=False)
