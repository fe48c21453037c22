"""`python -m tfrs_timirec.train`: trains a system from a log and evaluates it."""

import os
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tfrs_timirec.commands import program
from tfrs_timirec.errors import Stopped, run_command

if TYPE_CHECKING:
    from tfrs_timirec.config import Settings


def main() -> None:
    """Reads the command line and trains."""
    run_command(_main)


def _main() -> None:
    from tfrs_timirec.config import (
        DEFAULT_SYSTEM,
        config_path,
        read_yaml,
        settings_of,
        settings_parser,
    )
    from tfrs_timirec.ranges import Count

    parser = settings_parser(
        sys.argv[1:],
        prog=program("train"),
        description="Trains TiMiRec, or another system, from a log and evaluates it.",
    )
    parser.add_argument(
        "--run",
        type=Path | None,
        help="The run folder; without, one in runs/ named after the configuration or the data, the "
        "system and the seed.",
    )
    parser.add_argument("--resume", action="store_true", help="Continues the run in the folder.")
    parser.add_argument(
        "--pretrained",
        type=Path | None,
        help="A finished run of the first phase's system, as ComiRec is TiMiRec's: its weights "
        "take the place of the first phase, whatever its objective and dropout were.",
    )
    parser.add_argument("--export", type=Path | None, help="Exports the run into this folder.")
    parser.add_argument(
        "--workers",
        type=Count,
        default=1,
        help="Processes of this machine that train together; those of several machines are "
        "started one by one, each with its TF_CONFIG.",
    )
    parser.add_argument(
        "--worker_timeout",
        type=Count,
        default=300,
        help="Seconds that workers wait for each other.",
    )
    parsed = parser.parse_args()
    settings = settings_of(parsed)
    if parsed.config:
        config = config_path(parsed.config[-1])
        own = (read_yaml(config).get("model") or {}).get("system", DEFAULT_SYSTEM)
        name = run_name(settings, config.stem, own)
    else:
        name = run_name(settings)
    folder = parsed.run or Path("runs", name)
    if parsed.workers > 1 and "TF_CONFIG" not in os.environ:
        from tfrs_timirec.training.launcher import launch
        from tfrs_timirec.training.run import Run

        launch(sys.argv[1:], parsed.workers, Run(folder).latest)
        return
    try:
        train(
            settings,
            folder,
            parsed.resume,
            parsed.export,
            parsed.worker_timeout,
            parsed.pretrained,
        )
    except Stopped as stopped:
        arguments = sys.argv[1:] + ["--resume"] * (not parsed.resume)
        command = f"{program('train')} {shlex.join(arguments)}"
        raise Stopped(stopped.number, f"Interrupted. Continue with: {command}") from None


def run_name(settings: "Settings", config: str | None = None, own: str | None = None) -> str:
    """The name of a run folder, made of characters without a meaning to shells.

    Args:
        settings: Of the training.
        config: The name of their configuration; None names the run after the data.
        own: The configuration's system; another one is named.
    """
    # Of a path or a glob, the last part that says anything.
    parts = [config] if config else [Path(part).stem for part in Path(settings.data.source).parts]
    words = [re.sub(r"[^\w.]+", "-", part).strip("-.") for part in parts]
    name = next((word for word in reversed(words) if word), "log")
    system = settings.model.system
    return "-".join([name, *[system] * (system != own), str(settings.seed)])


def train(
    settings: "Settings",
    folder: Path,
    resume: bool,
    out: Path | None,
    worker_timeout: int,
    pretrained: Path | None = None,
) -> None:
    """Trains, evaluates, fills the run folder and exports.

    Args:
        settings: Everything that decides what is computed.
        folder: The run folder.
        resume: Whether to continue an existing run.
        out: The folder of the exported models; None exports nothing.
        worker_timeout: Seconds to wait for the other workers of the training, if there are any.
        pretrained: The run that trained the first phase; None trains all.

    Raises:
        UserError: Before the training, if it cannot be exported.
    """
    if out:
        from tfrs_timirec.export.extras import check_export

        check_export(out)
    # TensorFlow takes seconds to import: not before there is work for it.
    from tfrs_timirec.quiet import quieten_xla
    from tfrs_timirec.training.workers import join

    workers = join(worker_timeout)
    quieten_xla()
    from tfrs_timirec.evaluation.report import print_metrics
    from tfrs_timirec.recommender import Recommender

    model = Recommender.from_settings(settings)
    model.fit(run=folder, resume=resume, workers=workers, pretrained=pretrained)
    if not workers.is_chief:
        return
    if model.metrics:
        print_metrics(model.metrics, settings.evaluation.negatives)
    if out:
        from tfrs_timirec.export.__main__ import export
        from tfrs_timirec.export.settings import ExportSettings

        export(folder, out, ExportSettings())
    else:
        run = shlex.quote(str(folder))
        print(
            f"Evaluate:  {program('evaluate')} {run}\n"
            f"Recommend: {program('recommend')} {run} --out recommendations\n"
            f"Export:    {program('export')} {run} --out models"
        )


if __name__ == "__main__":
    main()
