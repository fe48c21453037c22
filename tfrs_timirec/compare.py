"""`python -m tfrs_timirec.compare`: trains systems and compares them in a report."""

import signal
import sys
from pathlib import Path

from jsonargparse import ArgumentParser

from tfrs_timirec.comparison.settings import ComparisonSettings, make_plan
from tfrs_timirec.config import plain, settings_from
from tfrs_timirec.errors import run_command


def main() -> None:
    """Reads the command line and compares."""
    parser = ArgumentParser(
        prog="python -m tfrs_timirec.compare",
        description="Trains what is missing of a comparison, and writes its report.",
    )
    parser.add_argument("--config", action="config", help="A YAML file of settings.")
    parser.add_class_arguments(ComparisonSettings, as_group=False)
    parsed = parser.parse_args()
    source = str(parsed.pop("config")[-1]) if parsed.config else "the command line"
    values = plain(parsed.as_dict())
    base = settings_from(values.pop("base"), Path(source))
    run_command(lambda: compare(ComparisonSettings(base=base, **values), source))


def compare(settings: ComparisonSettings, source: str) -> None:
    """Trains what is missing and writes the report.

    Args:
        settings: Of the comparison.
        source: Where they come from, for the errors.
    """
    from tfrs_timirec.comparison.trainings import train_missing

    plan = make_plan(settings, source)
    # A SIGTERM too lets the trainings save themselves, instead of leaving them behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        train_missing(plan.entries, settings.jobs)
    except KeyboardInterrupt:
        print("Saved. Go on with the same command.", file=sys.stderr)
        sys.exit(130)
    # TensorFlow takes seconds to import: not before there is work for it.
    from tfrs_timirec.comparison.page import write_report

    write_report(settings, plan)
    print(f"Wrote {Path(settings.out) / 'report.html'}")


if __name__ == "__main__":
    main()
