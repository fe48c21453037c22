"""`python -m tfrs_timirec.audit LOG`: what a log can and cannot show, before anyone trains."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tfrs_timirec.commands import program
from tfrs_timirec.errors import run_command

if TYPE_CHECKING:
    from tfrs_timirec.audit.figures import Audit
    from tfrs_timirec.config import DataSettings


def main() -> None:
    """Reads the command line and audits."""
    run_command(_main)


def _main() -> None:
    from jsonargparse import ArgumentParser

    from tfrs_timirec.config import DataConfigFile, DataSettings, plain
    from tfrs_timirec.ranges import Seed

    parser = ArgumentParser(
        prog=program("audit"),
        description="Says what a log can and cannot show, before anyone trains: ties, the future "
        "in the training, duplicates, popularity, and what counting reaches. Looks at both splits, "
        "whatever data.split is.",
    )
    parser.add_argument("--config", action=DataConfigFile, help="A YAML file of settings.")
    parser.add_argument(
        "log", nargs="?", type=str | None, help="The log, instead of --data.source."
    )
    parser.add_class_arguments(DataSettings, "data")
    parser.add_argument("--seed", type=Seed, default=0, help="What synthetic data depends on.")
    parser.add_argument(
        "--out", type=Path, default=Path("audit"), help="The folder of the page and audit.json."
    )
    parsed = parser.parse_args()
    settings = DataSettings(**plain(parsed.data))
    if parsed.log:
        settings = replace(settings, source=parsed.log)
    write(settings, int(parsed.seed), parsed.out)


def write(settings: "DataSettings", seed: int, out: Path) -> None:
    """Audits a log; prints the figures and the advice, and writes `index.html` and `audit.json`.

    Args:
        settings: Of the data, as a training has them.
        seed: What synthetic data depends on.
        out: The folder of the files; made if it is not there.
    """
    from tfrs_timirec.audit.figures import audit
    from tfrs_timirec.audit.page import page
    from tfrs_timirec.audit.words import advice
    from tfrs_timirec.data import load, summary
    from tfrs_timirec.files import locked, write_whole

    with locked(out):
        store = load(settings, seed)
        found = audit(store, settings)
        introduction = summary(store, settings)
        said = advice(found)
        files = {
            "index.html": page(found, introduction, said),
            "audit.json": json.dumps(asdict(found) | {"advice": said}, indent=1) + "\n",
        }
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            write_whole(out / name, lambda file, text=text: file.write(text.encode()))
    print(introduction)
    _print_tables(found)
    for sentence in [*said, *found.unsaid]:
        print(f"- {sentence}")
    print(f"Wrote {out / 'index.html'}")


def _print_tables(found: "Audit") -> None:
    from rich.console import Console
    from rich.table import Table

    from tfrs_timirec.audit.words import tables

    shown = Table(show_header=False)
    for title, rows in tables(found).items():
        shown.add_row(f"[b]{title}[/b]")
        for row in rows:
            shown.add_row(row.name, row.value)
        shown.add_section()
    Console(width=120).print(shown)


if __name__ == "__main__":
    main()
