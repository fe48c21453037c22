"""`python -m tfrs_timirec.explore MODEL`: a page that shows a recommender's interests at work."""

from pathlib import Path

from tfrs_timirec.commands import program
from tfrs_timirec.errors import run_command


def main() -> None:
    """Reads the command line and serves the page."""
    run_command(_main)


def _main() -> None:
    from jsonargparse import ArgumentParser

    from tfrs_timirec.export.extras import check_extra
    from tfrs_timirec.export.settings import ExportSettings
    from tfrs_timirec.ranges import Port

    parser = ArgumentParser(
        prog=program("explore"),
        description="Shows a recommender's interests at work, on a page in the browser.",
    )
    parser.add_argument("model", type=Path, help="A run folder, or that of a saved recommender.")
    parser.add_argument("--titles", type=str | None, help="A file of the items' titles.")
    parser.add_argument("--titles_id_column", default="item_id", help="Its column of item ids.")
    parser.add_argument("--titles_column", default="title", help="Its column of titles.")
    parser.add_argument("--categories_column", type=str | None, help="Its column of categories.")
    parser.add_argument(
        "--server",
        type=str | None,
        help="The URL of a server of TF-Serving's REST, or of a model on it; a server of its own "
        "is started without.",
    )
    parser.add_argument("--port", type=Port, default=0, help="Of the page; 0 takes a free one.")
    parser.add_argument("--no_browser", action="store_true", help="Opens no browser.")
    parsed = parser.parse_args()
    check_extra("explorer")
    titles = ExportSettings(
        titles=parsed.titles,
        titles_id_column=parsed.titles_id_column,
        titles_column=parsed.titles_column,
        categories_column=parsed.categories_column,
    )
    # TensorFlow takes seconds to import: not before there is work for it.
    from tfrs_timirec.explorer.serve import explore

    explore(parsed.model, titles, parsed.server, int(parsed.port), not parsed.no_browser)


if __name__ == "__main__":
    main()
