"""`python -m tfrs_timirec.compare`: trains systems and compares them in a report."""

from pathlib import Path
from typing import TYPE_CHECKING

from tfrs_timirec.commands import program
from tfrs_timirec.errors import Stopped, run_command

if TYPE_CHECKING:
    from tfrs_timirec.comparison.settings import ComparisonSettings


def main() -> None:
    """Reads the command line and compares."""
    run_command(_main)


def _main() -> None:
    from jsonargparse import ArgumentParser

    from tfrs_timirec.comparison.settings import ComparisonSettings
    from tfrs_timirec.config import (
        DEFAULT_SYSTEM,
        ConfigFile,
        add_settings,
        plain,
        settings_from,
    )

    parser = ArgumentParser(
        prog=program("compare"),
        description="Trains what is missing of a comparison, and writes its report.",
    )
    parser.add_argument("--config", action=ConfigFile, help="A YAML file of settings.")
    parser.add_class_arguments(ComparisonSettings, as_group=False, skip={"base"})
    add_settings(parser, DEFAULT_SYSTEM, "base.")
    parsed = parser.parse_args()
    configs = parsed.pop("config")
    source = str(configs[-1]) if configs else "the command line"
    values = plain(parsed)
    base = settings_from(values.pop("base"), source)
    compare(ComparisonSettings(base=base, **values), source)


def compare(settings: "ComparisonSettings", source: str) -> None:
    """Trains what is missing and writes the report.

    Args:
        settings: Of the comparison.
        source: Where they come from, for the errors.
    """
    import pyarrow as pa

    from tfrs_timirec.comparison.settings import make_plan, read_titles
    from tfrs_timirec.comparison.trainings import train_missing
    from tfrs_timirec.files import locked

    plan = make_plan(settings, source)
    # A file or column that is missing is told before the trainings.
    read_titles(settings, pa.array([], pa.string()))
    try:
        with locked(Path(settings.out)):
            train_missing(plan.entries, settings.jobs)
            # TensorFlow takes seconds to import: not before there is work for it.
            from tfrs_timirec.quiet import quieten_xla

            quieten_xla()
            from tfrs_timirec.comparison.page import write_report

            write_report(settings, plan)
    except Stopped as stopped:
        raise Stopped(stopped.number, "Saved. Continue with the same command.") from None
    print(f"Wrote {Path(settings.out) / 'report.html'}")


if __name__ == "__main__":
    main()
