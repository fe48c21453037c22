"""What a text means as a number, a time or an id: the same for every engine.

The engines' own casts differ in 12d, 1_000, 2020-01 and more. So a pattern decides what is read,
and a cast follows where all engines agree.
"""

import ibis
import ibis.expr.types as ir

_NUMBER = r"^ *[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})? *$"
_TIME_OF_DAY = r"([01][0-9]|2[0-3]):[0-5][0-9]"
_ZONE = r"(Z| UTC|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?)"
_DATE = (
    r"^ *[0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2}"
    rf"([ T]{_TIME_OF_DAY}(:[0-5][0-9](\.[0-9]{{1,9}})?{_ZONE}?)?)? *$"
)


def not_blank(text: ir.StringColumn) -> ir.StringColumn:
    """The text; null where nothing is written in it."""
    return (text.strip() != "").ifelse(text, None)


def whole_number(text: ir.StringColumn) -> ir.IntegerColumn:
    """int64 of a text that is one and is written as int64 are (not 007 or +1), else null."""
    number = text.try_cast("int64")
    return (number.cast("string") == text).ifelse(number, None)


def number(text: ir.StringColumn) -> ir.FloatingColumn:
    """float64 of digits with a point and an exponent, perhaps; else null."""
    return within(_matching(text, _NUMBER).try_cast("float64"))


def date(text: ir.StringColumn) -> ir.TimestampColumn:
    """A date such as 2024-05-31 or 2024-05-31T10:00:00.25+02:00, else null.

    It is in UTC unless a zone is written; what is less than a microsecond is dropped.
    """
    return _matching(text, _DATE).replace("/", "-").try_cast("timestamp('UTC')")


def within(number: ir.FloatingColumn) -> ir.FloatingColumn:
    """The number; null outside of int64, in which times end up, and for NaN."""
    # Where a Parquet file says what its least and its greatest number is, which leaves NaN out,
    # DuckDB takes the bounds and isnan() for answered.
    is_number = number - number == 0
    return ((number >= -(2.0**62)) & (number <= 2.0**62) & is_number).ifelse(number, None)


def _matching(text: ir.StringColumn, pattern: str) -> ir.StringColumn:
    # Before the cast: one that fails takes far longer.
    return text.re_search(pattern).ifelse(text, ibis.null("string"))
