"""Pages that stand alone, each one file."""

from jinja2 import ChoiceLoader, Environment, PackageLoader


def render(package: str, **values) -> str:
    """Fills a package's `page.html`, which extends `base.html`.

    Args:
        package: The name of the package that has the template.
        **values: What the template shows; `title` and `introduction` among it.

    Returns:
        The HTML, in which everything but pictures is escaped.
    """
    loaders = [PackageLoader(name, "") for name in (package, __package__)]
    environment = Environment(
        loader=ChoiceLoader(loaders), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html").render(**values)
