"""Notes that TensorFlow, XLA and ScaNN write to standard error, past Python's own streams."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


def quieten_xla() -> None:
    """Keeps XLA's note on its first compilation, which comes at any level, from the terminal.

    It imports TensorFlow, which takes seconds.
    """
    import tensorflow as tf

    with quiet():
        tf.function(lambda: tf.constant(0), jit_compile=True, autograph=False)()


@contextmanager
def quiet() -> Iterator[None]:
    """Drops what is written to standard error in the block.

    Whoever wants to see it sets TF_CPP_MIN_LOG_LEVEL to less than 3.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3") < "3":
        yield
        return
    with open(os.devnull, "wb") as nowhere:
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
