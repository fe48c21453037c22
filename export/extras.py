"""What exports need that the package itself does not."""

import os
from importlib.util import find_spec
from pathlib import Path

from tfrs_timirec.errors import UserError

_HOW = "pip install 'tfrs-timirec[serving]'"


def check_export(out: Path) -> None:
    """Checks that there can be an export into a folder; writes nothing.

    Args:
        out: Of the models; it need not be there.

    Raises:
        UserError: If a package is missing, or the folder is none or cannot be written to.
    """
    if find_spec("tensorflow_serving") is None:
        raise UserError(f"Exports need the package tensorflow-serving-api: {_HOW}.")
    there = next(path for path in [out, *out.absolute().parents] if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UserError(f"The models cannot be written to {out}: {there} is no folder of yours.")


def models() -> list[str]:
    """The names of the models of an export: `scann` only where its package is installed."""
    return ["exact", "scann"] if find_spec("scann") else ["exact"]


def told_of_models() -> str:
    """A line about what is not exported; empty where all is."""
    if "scann" in models():
        return ""
    return f"Exported the model exact alone, for the package scann is not installed: {_HOW}."
