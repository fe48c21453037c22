"""`python -m tfrs_timirec.evaluate RUN`: evaluates a trained run again."""

from pathlib import Path

from jsonargparse import ArgumentParser

from tfrs_timirec.errors import run_command


def main() -> None:
    """Reads the command line and evaluates."""
    parser = ArgumentParser(
        prog="python -m tfrs_timirec.evaluate",
        description="Evaluates a trained run again, with the figures that its training gave.",
    )
    parser.add_argument("run", type=Path, help="The run folder.")
    folder = parser.parse_args().run
    run_command(lambda: evaluate(folder))


def evaluate(folder: Path) -> None:
    """Evaluates the best weights of a run and writes its metrics.

    Args:
        folder: The run folder.
    """
    # TensorFlow takes seconds to import: not before there is work for it.
    from tfrs_timirec.evaluation.report import report
    from tfrs_timirec.training.run import Run
    from tfrs_timirec.training.session import Session

    run = Run(folder)
    session = Session(run.settings())
    run.check_data(session.store.digest)
    report(session, run)


if __name__ == "__main__":
    main()
