"""The pictures of an audit, each as the text of an SVG in the colours of the page."""

import html
import io
import re
from bisect import bisect
from collections.abc import Callable
from itertools import accumulate

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from tfrs_timirec.audit.figures import Audit, Popularity, Tested, Times
from tfrs_timirec.audit.words import percent, splits
from tfrs_timirec.data.splits import date_of

# Colours that stand for those of the page, which are lighter in the dark.
_INK, _FIRST, _SECOND = "#010203", "#010204", "#010205"
_OF_PAGE = {_INK: "currentColor", _FIRST: "var(--first)", _SECOND: "var(--second)"}
_STYLE = {
    "axes.edgecolor": _INK,
    "axes.facecolor": "none",
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "none",
    "svg.fonttype": "none",
    # Equal figures are equal files.
    "svg.hashsalt": "audit",
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


def pictures(audit: Audit) -> list[tuple[str, str]]:
    """The pictures that the figures are enough for.

    Args:
        audit: The figures.

    Returns:
        The caption and the SVG of each.
    """
    found = [
        ("What counting reaches on the whole catalogue", _baselines(splits(audit))),
        ("How the interactions are spread over the items", _curve(audit.popularity)),
    ]
    if times := audit.times:
        found += [
            ("When leave-one-out trains and tests", _timeline(times, audit.temporal)),
            ("What is later than leave-one-out's test targets", _later(times)),
        ]
    return found


def _baselines(by_split: dict[str, Tested]) -> str:
    rows = [
        (f"{title}: {name}", figures["HR@10"])
        for title, tested in by_split.items()
        for name, figures in tested.baselines.items()
    ]

    def draw(axes: Axes) -> None:
        bars = axes.barh([name for name, _ in rows], [value for _, value in rows], color=_FIRST)
        axes.bar_label(bars, fmt="%.4f", padding=3)
        axes.margins(x=0.2)
        axes.invert_yaxis()
        axes.set(xlabel="HR@10")

    values = "; ".join(f"{name} {value:.4f}" for name, value in rows)
    return _svg(draw, f"HR@10 of what only counts. {values}.")


def _curve(popularity: Popularity) -> str:
    def draw(axes: Axes) -> None:
        axes.plot(range(101), [100 * share for share in popularity.curve], color=_FIRST)
        axes.plot([0, 100], [0, 100], "--", color=_INK, linewidth=1)
        axes.set(xlabel="% of the items, the least popular first", ylabel="% of the interactions")

    return _svg(
        draw,
        f"Lorenz curve of the items, beside equality: the least popular half has "
        f"{percent(popularity.curve[50])} of the interactions.",
    )


def _timeline(times: Times, temporal: Tested | None) -> str:
    def draw(axes: Axes) -> None:
        for label, counts, colour, line in (
            ("training", times.training_counts, _FIRST, "-"),
            ("test targets", times.test_counts, _SECOND, "-."),
        ):
            shares = [100 * before / sum(counts) for before in accumulate(counts, initial=0)]
            axes.plot(times.bins, shares, line, color=colour, label=label)
        if temporal:
            label = "the temporal split's test"
            axes.axvline(temporal.begins, color=_INK, linestyle=":", label=label)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(lambda time, _: date_of(time) or f"{time:g}")
        axes.set(ylabel="% so far")
        axes.legend(frameon=False, loc="upper left")

    half = times.bins[bisect(list(accumulate(times.test_counts)), sum(times.test_counts) / 2)]
    return _svg(
        draw,
        f"Leave-one-out's training interactions and test targets so far, over time: half of the "
        f"test targets came before {date_of(half) or f'{half:g}'} or soon after.",
    )


def _later(times: Times) -> str:
    def draw(axes: Axes) -> None:
        width = 100 / len(times.later_counts)
        begins = [width * number for number in range(len(times.later_counts))]
        axes.bar(begins, times.later_counts, width, align="edge", color=_FIRST)
        axes.set(xlabel="% of the training interactions that are later", ylabel="test targets")

    return _svg(
        draw,
        f"How many test targets have which share of later training interactions; the mean is "
        f"{percent(times.later)}.",
    )


def _svg(draw: Callable[[Axes], None], alternative: str) -> str:
    """A picture that fits a telephone, with a text for those who do not see it."""
    text = io.StringIO()
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(4.6, 3), layout="constrained")
        draw(axes)
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(text, format="svg", metadata=nothing)
        plt.close(figure)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    for colour, of_page in _OF_PAGE.items():
        svg = svg.replace(colour, of_page)
    # Ids of groups would come once a picture.
    svg = re.sub(r'<g id="\w+">', "<g>", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(alternative)}"', 1)
