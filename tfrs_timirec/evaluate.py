"""`python -m tfrs_timirec.evaluate MODEL`: evaluates a trained recommender again."""

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
        "log.",
    )
    parser.add_argument("model", type=Path, help="A run folder, or that of a saved recommender.")
    parser.add_argument("--log", type=str | None, help="The path or glob of a newer log.")
    parsed = parser.parse_args()
    evaluate(parsed.model, parsed.log)


def evaluate(folder: Path, log: str | None = None) -> None:
    """Prints the metrics of a trained recommender.

    Args:
        folder: Of a run or a saved recommender.
        log: The path or glob of a newer log; None evaluates on what was held out.
    """
    # TensorFlow takes seconds to import: not before there is work for it.
    from tfrs_timirec.quiet import quieten_xla

    quieten_xla()
    from tfrs_timirec.evaluation.report import print_metrics
    from tfrs_timirec.recommender import Recommender

    model = Recommender.load(folder)
    print_metrics(model.evaluate(log), model.settings.evaluation.negatives)


if __name__ == "__main__":
    main()
