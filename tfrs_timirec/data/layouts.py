"""How text files of a log are written."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TextLayout:
    """How rows are written in a text file.

    Args:
        delimiter: What stands between two values.
        columns: The columns' names; None where the first line has them.
        quote: What encloses a value that has the delimiter in it; empty for none.
        encoding: `utf-8` or `latin-1`.
    """

    delimiter: str
    columns: tuple[str, ...] | None = None
    quote: str = '"'
    encoding: str = "utf-8"


RATINGS = ("user_id", "item_id", "rating", "timestamp")
LAYOUTS = {
    "csv": TextLayout(","),
    "tsv": TextLayout("\t"),
    "inter": TextLayout("\t", quote=""),
    "movielens": TextLayout("::", RATINGS, quote="", encoding="latin-1"),
}
