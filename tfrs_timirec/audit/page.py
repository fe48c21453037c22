"""The page of an audit, which stands alone."""

from tfrs_timirec.audit.figures import Audit
from tfrs_timirec.audit.pictures import pictures
from tfrs_timirec.audit.words import tables
from tfrs_timirec.pages.template import render


def page(audit: Audit, introduction: str, advice: list[str]) -> str:
    """The HTML of an audit.

    Args:
        audit: The figures.
        introduction: What the log held and what is left of it.
        advice: What to do, in sentences.
    """
    return render(
        "tfrs_timirec.audit",
        title=f"Audit of {audit.log.source}",
        introduction=introduction,
        advice=advice,
        unsaid=audit.unsaid,
        pictures=pictures(audit),
        tables=tables(audit),
    )
