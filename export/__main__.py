"""`python -m export RUN --out DIR`: a trained run as SavedModels for TF-Serving."""

import shlex
import sys
from pathlib import Path

from jsonargparse import ArgumentParser

from export.settings import ExportSettings
from tfrs_timirec.config import plain
from tfrs_timirec.errors import run_command


def main() -> None:
    """Reads the command line and exports."""
    parser = ArgumentParser(
        prog="python -m export",
        description="Exports a trained run as the next version of the models exact and scann.",
    )
    parser.add_argument("run", type=Path, help="The run folder.")
    parser.add_argument("--out", type=Path, required=True, help="The folder of the models.")
    parser.add_class_arguments(ExportSettings, as_group=False)
    parsed = plain(parser.parse_args().as_dict())
    run, out = Path(parsed.pop("run")), Path(parsed.pop("out"))
    run_command(lambda: export(run, out, ExportSettings(**parsed)))


def export(run: Path, out: Path, settings: ExportSettings) -> None:
    """Exports a run and tells what to do next.

    Args:
        run: The run folder.
        out: The folder of the models.
        settings: What the models answer.
    """
    # TensorFlow takes seconds to import: not before there is work for it.
    from export.publish import publish

    versions, items = publish(run, out, settings)
    for version in versions:
        print(f"Exported {version}")
    python = Path(sys.executable)
    if python.is_relative_to(Path.cwd()):
        python = python.relative_to(Path.cwd())
    print(
        f"Serve: {python} -m export.server {out} --port 8500\n"
        f"Ask:   {python} -m export.client {shlex.join(map(str, items))}"
    )


if __name__ == "__main__":
    main()
