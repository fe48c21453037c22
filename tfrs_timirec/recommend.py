"""`python -m tfrs_timirec.recommend MODEL --out DIR`: recommendations for all users, as Parquet."""

from pathlib import Path
from typing import Literal

from tfrs_timirec.commands import program
from tfrs_timirec.errors import Stopped, run_command


def main() -> None:
    """Reads the command line and recommends."""
    run_command(_main)


def _main() -> None:
    from jsonargparse import ArgumentParser
    from jsonargparse.typing import PositiveInt

    parser = ArgumentParser(
        prog=program("recommend"),
        description="Writes the best items of all users into Parquet files; interrupted, the same "
        "command continues.",
    )
    parser.add_argument("model", type=Path, help="A run folder, or that of a saved recommender.")
    parser.add_argument("--out", type=Path, required=True, help="The folder of the files.")
    parser.add_argument("--k", type=PositiveInt, default=10, help="How many items per user.")
    parser.add_argument("--users", type=Path | None, help="A text file of user ids, one a line.")
    parser.add_argument(
        "--engine",
        type=Literal["process", "spark"],
        default="process",
        help="What does the work: this process, or Spark.",
    )
    parser.add_argument("--master", default="local[*]", help="The URL of Spark's master.")
    parsed = parser.parse_args()
    try:
        # TensorFlow takes seconds to import: not before there is work for it.
        from tfrs_timirec.shards import write_shards

        count = write_shards(
            parsed.model, parsed.out, int(parsed.k), parsed.users, parsed.engine, parsed.master
        )
    except Stopped as stopped:
        raise Stopped(stopped.number, "Interrupted. Continue with the same command.") from None
    print(f"Recommended to {count:,} users: {parsed.out}")


if __name__ == "__main__":
    main()
