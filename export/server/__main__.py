"""`python -m tfrs_timirec.export.server DIR`: answers with the models of a folder."""

import asyncio
import logging
import os
from pathlib import Path

from jsonargparse import ArgumentParser

from tfrs_timirec.commands import program
from tfrs_timirec.config import check_fields, plain
from tfrs_timirec.errors import UserError, run_command
from tfrs_timirec.export.extras import check_extra
from tfrs_timirec.export.server.settings import ServerSettings


def main() -> None:
    """Reads the command line and serves."""
    run_command(_main)


def _main() -> None:
    parser = ArgumentParser(
        prog=program("serve"),
        description="Answers TF-Serving's gRPC requests with the models of a folder.",
    )
    parser.add_argument("folder", type=Path, help="The folder of the models.")
    parser.add_class_arguments(ServerSettings, as_group=False)
    parsed = plain(parser.parse_args().as_dict())
    folder = Path(parsed.pop("folder"))
    run(folder, ServerSettings(**parsed))


def run(folder: Path, settings: ServerSettings) -> None:
    """Serves until SIGTERM or Ctrl-C, and ends the process with exit code 143 or 130.

    Args:
        folder: The folder of the models.
        settings: Where to listen, and the bounds.

    Raises:
        UserError: If a setting is out of its range, the folder is missing, a certificate is none,
            or a port is taken.
    """
    check_extra()
    from tfrs_timirec.export.server.listening import serve_metrics, server_credentials

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    check_fields(settings)
    if not folder.is_dir():
        raise UserError(
            f"The folder {folder} does not exist: export a run with {program('export')}."
        )
    credentials = server_credentials(settings)
    if settings.metrics_port is not None:
        serve_metrics(settings)
    # TensorFlow takes seconds to import: not before there is work for it.
    from tfrs_timirec.export.server.serve import serve

    number = asyncio.run(serve(folder, settings, credentials))
    # A computation cannot be broken off: the process ends without it.
    logging.shutdown()
    os._exit(128 + number)


if __name__ == "__main__":
    main()
