"""What exporting, serving and asking need that the package itself does not."""

import os
from importlib.util import find_spec
from pathlib import Path

from tfrs_timirec.errors import UserError

_HOW = "pip install 'tfrs-timirec[{}]'"
_SERVING = {
    "tensorflow_serving": "tensorflow-serving-api",
    "grpc": "grpcio",
    "grpc_health": "grpcio-health-checking",
    "grpc_reflection": "grpcio-reflection",
    "prometheus_client": "prometheus-client",
    "starlette": "starlette",
    "uvicorn": "uvicorn",
    "httptools": "httptools",
}
_PACKAGES = {
    "serving": _SERVING,
    "explorer": {**_SERVING, "openTSNE": "openTSNE", "urllib3": "urllib3"},
}


def check_extra(extra: str = "serving") -> None:
    """Checks that the packages of an extra are there, except scann.

    Args:
        extra: `serving`, or `explorer`, which contains it.

    Raises:
        UserError: If one is missing.
    """
    for module, package in _PACKAGES[extra].items():
        if find_spec(module) is None:
            raise UserError(f"The package {package} is not installed: {_HOW.format(extra)}.")


def check_export(out: Path) -> None:
    """Checks that there can be an export into a folder; writes nothing.

    Args:
        out: Of the models; it need not be there.

    Raises:
        UserError: If a package is missing, or the folder is none or cannot be written to.
    """
    check_extra()
    there = next(path for path in [out, *out.absolute().parents] if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UserError(f"The models cannot be written to {out}: {there} is not a folder of yours.")


def models() -> list[str]:
    """The names of the models of an export: `scann` only where its package is installed."""
    return ["exact", "scann"] if find_spec("scann") else ["exact"]


def told_of_models() -> str:
    """A line about what is not exported; empty where all is."""
    if "scann" in models():
        return ""
    how = _HOW.format("serving")
    return f"Exported the model exact alone, for the package scann is not installed: {how}."
