"""Memory that a replaced version leaves behind."""

import ctypes
import gc


def keep_what_is_there() -> None:
    """Spares what exists by now, above all modules, from every later search for garbage."""
    gc.collect()
    gc.freeze()


def give_memory_back() -> None:
    """Frees objects that refer to each other, and returns free memory to the system."""
    gc.collect()
    # glibc keeps what was freed between other things.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)
