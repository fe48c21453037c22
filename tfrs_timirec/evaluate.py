"""`python -m tfrs_timirec.evaluate MODEL`: evaluates a trained recommender again."""

import warnings
from pathlib import Path

from tfrs_timirec.commands import program
from tfrs_timirec.errors import run_command


def main() -> None:
    """Reads the command line and evaluates."""
    run_command(_main)


def _main() -> None:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(
        prog=program("evaluate"),
        description="Evaluates a trained recommender on what its training held out, or on a newer "
        "log: how well it ranks and whom it serves, what its lists show, what its interests are "
        "worth.",
    )
    parser.add_argument("model", type=Path, help="A run folder, or that of a saved recommender.")
    parser.add_argument("--log", type=str | None, help="The path or glob of a newer log.")
    parser.add_argument("--titles", type=str | None, help="A file of the items' categories.")
    parser.add_argument("--titles_id_column", type=str | None, help="Its column of item ids.")
    parser.add_argument("--categories_column", type=str | None, help="Its column of categories.")
    parsed = parser.parse_args().as_dict()
    # Where in the code it is said tells who typed a command nothing.
    warnings.formatwarning = lambda message, *place: f"warning: {message}\n"
    evaluate(parsed.pop("model"), **parsed)


def evaluate(folder: Path, log: str | None = None, **named: str | None) -> None:
    """Prints the metrics of a trained recommender.

    Args:
        folder: Of a run or a saved recommender.
        log: The path or glob of a newer log; None evaluates on what was held out.
        named: The file of categories and its columns, as `Recommender.evaluate` takes them.
    """
    # TensorFlow takes seconds to import: not before there is work for it.
    from tfrs_timirec.quiet import quieten_xla

    quieten_xla()
    from tfrs_timirec.evaluation.report import print_metrics
    from tfrs_timirec.evaluation.tables import print_tables
    from tfrs_timirec.recommender import Recommender

    model = Recommender.load(folder)
    metrics = model.evaluate(log, **named)
    print_metrics(metrics, model.settings.evaluation.negatives)
    print_tables(metrics, model.settings.evaluation.cutoffs)


if __name__ == "__main__":
    main()
