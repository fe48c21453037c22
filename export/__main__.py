"""`python -m tfrs_timirec.export RUN --out DIR`: a recommender as SavedModels for TF-Serving."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from tfrs_timirec.commands import program
from tfrs_timirec.errors import run_command

if TYPE_CHECKING:
    from tfrs_timirec.export.settings import ExportSettings


def main() -> None:
    """Reads the command line and exports."""
    run_command(_main)


def _main() -> None:
    from jsonargparse import ArgumentParser

    from tfrs_timirec.config import plain
    from tfrs_timirec.export.settings import ExportSettings

    parser = ArgumentParser(
        prog=program("export"),
        description="Exports a recommender as the next version of the models exact and scann.",
    )
    parser.add_argument("run", type=Path, help="The folder of a run or of a recommender.")
    parser.add_argument("--out", type=Path, required=True, help="The folder of the models.")
    parser.add_class_arguments(ExportSettings, as_group=False)
    parsed = plain(parser.parse_args().as_dict())
    run, out = Path(parsed.pop("run")), Path(parsed.pop("out"))
    export(run, out, ExportSettings(**parsed))


def export(run: Path, out: Path, settings: "ExportSettings") -> None:
    """Exports a recommender and tells what to do next.

    Args:
        run: The folder of a run, or one that `Recommender.save` wrote.
        out: The folder of the models.
        settings: What the models answer.
    """
    from tfrs_timirec.export.extras import check_export, told_of_models

    check_export(out)
    # TensorFlow takes seconds to import: not before there is work for it.
    from tfrs_timirec.export.publish import publish
    from tfrs_timirec.recommender import Recommender

    versions, items = publish(Recommender.load(run), out, settings)
    for version in versions:
        print(f"Exported {version}")
    if lacking := told_of_models():
        print(lacking)
    ask = shlex.join(map(str, items))
    print(f"Serve: {program('serve')} {shlex.quote(str(out))} --port 8500")
    print(f"Ask:   {program('ask')} {ask}")


if __name__ == "__main__":
    main()
