"""Typed settings of an export: each field is a command-line flag."""

from dataclasses import dataclass
from typing import Literal

from tfrs_timirec.ranges import Count, Elements, Few, WholeShare


@dataclass
class ExportSettings:
    """What the exported models answer, and how ScaNN's index is built.

    Args:
        k: Recommendations per user, where the request does not say.
        exclude_history: Never recommends an item of the history.
        titles: A CSV, TSV, Parquet, typed-header or MovieLens `.dat` file whose titles ride along
            with the items.
        titles_id_column: Its column of the item's id.
        titles_column: Its column of the title.
        categories_column: Its column of the category; with it there is a signature `diverse`.
        target_recall: The share of the exact best 100 that ScaNN is to find, on average.
        quantize: What ScaNN scores candidates with: `float32`, or `int8`, which takes a quarter of
            the memory. The scores of answers are in single precision in any case.
        leaves: Leaves of ScaNN's tree; null chooses by the catalogue's size.
        leaves_to_search: Leaves that a query searches; null finds out what the target needs.
        reordering: Candidates that ScaNN scores for each item asked for; null finds out likewise.
        request_rows: The most users in a request.
        input_elements: The most values in an input, over all users, where a row that stands for all
            counts for each; also the most items that all users together may ask for.
        request_scores: The most scores that a request may take: users times query vectors times the
            catalogue where all of it is scored, users times candidates times k of a diverse set.
    """

    k: Count = 10
    exclude_history: bool = True
    titles: str | None = None
    titles_id_column: str = "item_id"
    titles_column: str = "title"
    categories_column: str | None = None
    target_recall: WholeShare = 0.95
    quantize: Literal["float32", "int8"] = "float32"
    leaves: Count | None = None
    leaves_to_search: Count | None = None
    reordering: Few | None = None
    request_rows: Count = 1_024
    input_elements: Elements = 1_000_000
    request_scores: Elements = 2**27
