"""The pictures of an audit."""

from bisect import bisect
from itertools import accumulate

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from tfrs_timirec.audit.figures import Audit, Popularity, Tested, Times
from tfrs_timirec.audit.words import percent, splits
from tfrs_timirec.data.splits import date_of
from tfrs_timirec.pages.pictures import INK, SERIES, Picture, picture


def pictures(audit: Audit) -> list[Picture]:
    """The pictures that the figures are enough for.

    Args:
        audit: The figures.
    """
    found = [_baselines(splits(audit)), _curve(audit.popularity)]
    if times := audit.times:
        found += [_timeline(times, audit.temporal), _later(times)]
    return found


def _baselines(by_split: dict[str, Tested]) -> Picture:
    rows = [
        (f"{title}: {name}", figures["HR@10"])
        for title, tested in by_split.items()
        for name, figures in tested.baselines.items()
    ]

    def draw(axes: Axes) -> None:
        bars = axes.barh([name for name, _ in rows], [value for _, value in rows], color=SERIES[0])
        axes.bar_label(bars, fmt="%.4f", padding=3)
        axes.margins(x=0.2)
        axes.invert_yaxis()
        axes.set(xlabel="HR@10")

    values = "; ".join(f"{name} {value:.4f}" for name, value in rows)
    return picture(
        "What counting reaches on the whole catalogue",
        f"HR@10 of what only counts. {values}.",
        draw,
    )


def _curve(popularity: Popularity) -> Picture:
    def draw(axes: Axes) -> None:
        axes.plot(range(101), [100 * share for share in popularity.curve], color=SERIES[0])
        axes.plot([0, 100], [0, 100], "--", color=INK, linewidth=1)
        axes.set(xlabel="% of the items, the least popular first", ylabel="% of the interactions")

    return picture(
        "How the interactions are spread over the items",
        f"Lorenz curve of the items, beside equality: the least popular half has "
        f"{percent(popularity.curve[50])} of the interactions.",
        draw,
    )


def _timeline(times: Times, temporal: Tested | None) -> Picture:
    def draw(axes: Axes) -> None:
        for label, counts, colour, line in (
            ("training", times.training_counts, SERIES[0], "-"),
            ("test targets", times.test_counts, SERIES[1], "-."),
        ):
            shares = [100 * before / sum(counts) for before in accumulate(counts, initial=0)]
            axes.plot(times.bins, shares, line, color=colour, label=label)
        if temporal:
            label = "the temporal split's test"
            axes.axvline(temporal.begins, color=INK, linestyle=":", label=label)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(lambda time, _: date_of(time) or f"{time:g}")
        axes.set(ylabel="% so far")
        axes.legend(loc="upper left")

    half = times.bins[bisect(list(accumulate(times.test_counts)), sum(times.test_counts) / 2)]
    return picture(
        "When leave-one-out trains and tests",
        f"Leave-one-out's training interactions and test targets so far, over time: half of the "
        f"test targets came before {date_of(half) or f'{half:g}'} or soon after.",
        draw,
    )


def _later(times: Times) -> Picture:
    def draw(axes: Axes) -> None:
        width = 100 / len(times.later_counts)
        begins = [width * number for number in range(len(times.later_counts))]
        axes.bar(begins, times.later_counts, width, align="edge", color=SERIES[0])
        axes.set(xlabel="% of the training interactions that are later", ylabel="test targets")

    return picture(
        "What is later than leave-one-out's test targets",
        f"How many test targets have which share of later training interactions; the mean is "
        f"{percent(times.later)}.",
        draw,
    )
