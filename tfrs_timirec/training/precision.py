"""The precision that the layers of a step compute in."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras


@contextmanager
def computing_in(precision: str, tower: keras.Model) -> Iterator[None]:
    """A block in which a tower's layers compute in a precision; their weights stay float32.

    What is traced in it stays so. Validation and saving are outside.

    Args:
        precision: `float32` or `bfloat16`.
        tower: The tower; other models of its layers compute in it as well.
    """
    layers = list(tower._flatten_layers(include_self=False)) if precision != "float32" else []
    policies = [layer.dtype_policy for layer in layers]
    try:
        for layer in layers:
            layer.dtype_policy = f"mixed_{precision}"
        yield
    finally:
        for layer, policy in zip(layers, policies, strict=True):
            layer.dtype_policy = policy
