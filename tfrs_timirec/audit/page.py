"""The page of an audit, which stands alone."""

from jinja2 import Environment, PackageLoader

from tfrs_timirec.audit.figures import Audit
from tfrs_timirec.audit.pictures import pictures
from tfrs_timirec.audit.words import tables


def page(audit: Audit, introduction: str, advice: list[str]) -> str:
    """The HTML of an audit.

    Args:
        audit: The figures.
        introduction: What the log held and what is left of it.
        advice: What to do, in sentences.
    """
    environment = Environment(loader=PackageLoader("tfrs_timirec.audit", ""), autoescape=True)
    return environment.get_template("page.html").render(
        title=f"Audit of {audit.log.source}",
        introduction=introduction,
        advice=advice,
        unsaid=audit.unsaid,
        pictures=pictures(audit),
        tables=tables(audit),
    )
