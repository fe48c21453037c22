"""The one exception that a user's mistake raises, and how the commands tell it."""

import os
import sys
from collections.abc import Callable


class UserError(Exception):
    """Bad input or settings, told in one sentence that says what, where and what to do."""


def run_command(command: Callable[[], None]) -> None:
    """Runs a command; a user's mistake is one line on standard error and exit code 2."""
    # TensorFlow's notes about CPU features are not for the users of a command.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # The products of a training step are too small to be worth sharing among threads.
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
    try:
        command()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}.", file=sys.stderr)
        sys.exit(2)
