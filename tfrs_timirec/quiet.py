"""Notes that TensorFlow, XLA and ScaNN write to standard error, past Python's own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
# Set where the user has asked for the notes.
_asked_for = _LEVEL in os.environ


def quieten_tensorflow() -> None:
    """Keeps TensorFlow and XLA from writing notes to standard error in this process.

    TensorFlow must not have been imported; it is then. Whoever wants the notes sets
    TF_CPP_MIN_LOG_LEVEL.
    """
    os.environ.setdefault(_LEVEL, "3")
    import tensorflow as tf

    with quiet():
        # XLA notes its first compilation at any level.
        tf.function(lambda: tf.constant(0), jit_compile=True)()


@contextmanager
def quiet() -> Iterator[None]:
    """Drops what is written to standard error in the block, unless the notes were asked for."""
    if _asked_for:
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
