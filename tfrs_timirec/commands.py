"""The commands, by the names that `timirec` knows them under."""

import sys
from pathlib import Path

# Name → module and what it does.
COMMANDS = {
    "audit": ("tfrs_timirec.audit", "says what a log can and cannot show, before anyone trains"),
    "train": ("tfrs_timirec.train", "trains a system from a log and evaluates it"),
    "evaluate": ("tfrs_timirec.evaluate", "evaluates a trained recommender again"),
    "compare": ("tfrs_timirec.compare", "trains several systems and compares them in a report"),
    "recommend": ("tfrs_timirec.recommend", "writes recommendations for all users as Parquet"),
    "explore": ("tfrs_timirec.explore", "shows a recommender's interests on a page in the browser"),
    "export": ("tfrs_timirec.export", "exports a recommender as SavedModels"),
    "serve": ("tfrs_timirec.export.server", "answers gRPC requests with exported models"),
    "ask": ("tfrs_timirec.export.client", "asks a server for the recommendations of a history"),
}


def program(name: str) -> str:
    """How a command is called as this process was: by `timirec`, or by `python -m`.

    Args:
        name: One of `COMMANDS`.
    """
    if sys.argv[0].startswith("timirec "):
        return f"timirec {name}"
    python = Path(sys.executable)
    # So that what is told can be pasted although the environment is not activated.
    inside = python.is_relative_to(Path.cwd())
    return f"{python.relative_to(Path.cwd()) if inside else 'python'} -m {COMMANDS[name][0]}"
