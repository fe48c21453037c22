"""`timirec COMMAND …`, or `python -m tfrs_timirec COMMAND …`: all commands under one name."""

import argparse
import importlib
import sys

from tfrs_timirec import __version__
from tfrs_timirec.commands import COMMANDS
from tfrs_timirec.errors import run_command


def main() -> None:
    """Reads the name of a command, and runs it with the arguments that follow."""
    run_command(_main)


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="timirec",
        description="Multi-interest sequential recommendation on TensorFlow Recommenders.",
        epilog="timirec COMMAND --help lists what a command takes.",
    )
    parser.add_argument("--version", action="version", version=f"timirec {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (_, does) in COMMANDS.items():
        commands.add_parser(name, help=does, add_help=False)
    name = parser.parse_known_args(sys.argv[1:2])[0].command
    sys.argv = [f"timirec {name}", *sys.argv[2:]]
    module = importlib.import_module(COMMANDS[name][0])
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{COMMANDS[name][0]}.__main__")
    module.main()


if __name__ == "__main__":
    main()
