"""Pictures, each as the text of an SVG in the colours of the page."""

import html
import io
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import matplotlib
from matplotlib.figure import Figure

# Colours that stand for those of the page, which are lighter in the dark. The series are those of
# Okabe and Ito (Color Universal Design, 2008), some of them darker on white.
INK, QUIET, GROUND, *SERIES = (f"#0102{number:02x}" for number in range(9))
_OF_PAGE = {
    INK: "currentColor",
    QUIET: "var(--quiet)",
    GROUND: "var(--ground)",
    **{colour: f"var(--series-{number})" for number, colour in enumerate(SERIES, 1)},
}
# Who does not see the colours of series tells them by these.
MARKERS = ("o", "s", "^", "D", "v", "P")
_STYLE = {
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "font.size": 9,
    "legend.frameon": False,
    "svg.fonttype": "none",
    # Equal figures are equal files.
    "svg.hashsalt": "page",
    "text.color": INK,
    # Names are the user's, and no formulas.
    "text.parse_math": False,
    "xtick.color": INK,
    "ytick.color": INK,
}


class Picture(NamedTuple):
    """A picture of a page.

    Args:
        caption: What stands below it.
        alternative: What it shows, for those who do not see it.
        svg: The picture, with the alternative in it.
    """

    caption: str
    alternative: str
    svg: str


def picture(
    caption: str,
    alternative: str,
    draw: Callable[[Any], None],
    size: tuple[float, float] = (4.6, 3),
    **grid,
) -> Picture:
    """Draws a picture; its letters can be read on a telephone.

    Args:
        caption: What stands below it.
        alternative: What it shows, for those who do not see it.
        draw: Draws on the axes.
        size: Width and height in inches.
        **grid: Of `Figure.subplots`, for more axes than one.
    """
    text = io.StringIO()
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots(**grid))
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(text, format="svg", metadata=nothing, dpi=200)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    for colour, of_page in _OF_PAGE.items():
        svg = svg.replace(colour, of_page)
    # Ids of groups would come once a picture.
    svg = re.sub(r'<g id="[^"]+">', "<g>", svg)
    label = f'<svg role="img" aria-label="{html.escape(alternative)}"'
    return Picture(caption, alternative, svg.replace("<svg", label, 1))
