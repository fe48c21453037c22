"""`python -m tfrs_timirec.train`: trains a system from a log and evaluates it."""

import sys
from pathlib import Path

from tfrs_timirec.config import Settings, settings_of, settings_parser
from tfrs_timirec.errors import run_command


def main() -> None:
    """Reads the command line and trains."""
    parser = settings_parser(
        prog="python -m tfrs_timirec.train",
        description="Trains TiMiRec, or another system, from a log and evaluates it.",
    )
    parser.add_argument("--run", type=Path | None, help="The run folder; runs/CONFIG-SEED without.")
    parser.add_argument("--resume", action="store_true", help="Goes on with the run folder.")
    parser.add_argument("--export", type=Path | None, help="Exports the run into this folder.")
    parsed = parser.parse_args()
    settings = settings_of(parsed)
    name = Path(str(parsed.config[-1])) if parsed.config else Path(settings.data.source)
    folder = parsed.run or Path("runs") / f"{name.stem}-{settings.seed}"
    run_command(lambda: train(settings, folder, parsed.resume, parsed.export))


def train(settings: Settings, folder: Path, resume: bool, out: Path | None) -> None:
    """Trains, evaluates, fills the run folder and exports.

    Args:
        settings: Everything that decides what is computed.
        folder: The run folder.
        resume: Whether to go on with a run that is there.
        out: The folder of the exported models; None exports nothing.
    """
    # TensorFlow takes seconds to import: not before there is work for it.
    from tfrs_timirec.evaluation.curve import write_curve
    from tfrs_timirec.evaluation.report import report
    from tfrs_timirec.training.loop import Interrupted, Training
    from tfrs_timirec.training.run import Run
    from tfrs_timirec.training.session import Session

    run = Run(folder)
    run.check(settings, resume)
    session = Session(settings)
    run.start(settings, session.store.digest)
    training = Training(session.model, session.store, settings, session.negatives, run)
    try:
        progress = training.train(resume)
    except Interrupted:
        print(
            f"Saved. Go on with: {' '.join(['python -m tfrs_timirec.train', *sys.argv[1:]])}"
            f"{'' if resume else ' --resume'}",
            file=sys.stderr,
        )
        sys.exit(130)
    if progress.log:
        write_curve(run, progress.log, settings.evaluation.metric)
    report(session, run)
    if out:
        from export.__main__ import export
        from export.settings import ExportSettings

        export(folder, out, ExportSettings())


if __name__ == "__main__":
    main()
