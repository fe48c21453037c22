"""The pictures of a report."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from tfrs_timirec.comparison.conclusion import listed, told_apart
from tfrs_timirec.comparison.interests import Case, Map
from tfrs_timirec.comparison.results import seen_from
from tfrs_timirec.pages.pictures import GROUND, INK, MARKERS, QUIET, SERIES, Picture, picture

# Of a row of systems, and of what is above and below the rows, in inches.
_ROW, _AROUND = 0.24, 1.0


def ranking(figures: pd.DataFrame, metric: str, among: str) -> Picture:
    """The systems by a metric, the best one first.

    Args:
        figures: Indexed by system, with `mean`, `std` over the seeds and `paper`, any of the latter
            missing.
        metric: Its name.
        among: What targets are ranked among.
    """
    figures = figures.sort_values("mean", ascending=False)
    places = np.arange(len(figures))

    def draw(axes: Axes) -> None:
        deviations = figures["std"].fillna(0)
        axes.barh(
            places, figures["mean"], 0.6, xerr=deviations, color=SERIES[0], ecolor=INK, label="ours"
        )
        if figures["paper"].notna().any():
            style = {"markerfacecolor": GROUND, "color": SERIES[1], "label": "the paper's"}
            axes.plot(figures["paper"], places, "D", **style)
            axes.figure.legend(loc="outside lower center", ncols=2)
        axes.set_yticks(places, figures.index)
        beside = axes.secondary_yaxis("right")
        beside.set_yticks(places, figures["mean"].map("{:.4f}".format))
        for side in (axes, beside):
            side.tick_params("y", length=0)
        beside.spines["right"].set_visible(False)
        axes.set(xlabel=metric, ylim=(len(places) - 0.5, -0.5))
        axes.xaxis.set_major_locator(MaxNLocator(5))

    values = "; ".join(f"{name} {value:.4f}" for name, value in figures["mean"].items())
    title = f"{metric} {among}"
    return picture(title, f"{title}: {values}.", draw, (4.6, _AROUND + _ROW * len(places)))


def forest(differences: pd.DataFrame, references: Sequence[str], among: dict[str, str]) -> Picture:
    """How far each reference is above the others, with 95 % intervals.

    Args:
        differences: Of `results.differences`.
        references: Their references.
        among: By protocol, what targets are ranked among.
    """
    seen = {reference: seen_from(differences, reference) for reference in references}
    metrics = differences["metric"].unique()
    rows = [tests["name"].nunique() for tests in seen.values()]

    def draw(grid: np.ndarray) -> None:
        for column, protocol in enumerate(among):
            limits = _limits([tests[tests["protocol"] == protocol] for tests in seen.values()])
            for line, (reference, tests) in enumerate(seen.items()):
                axes, names = grid[line, column], list(tests["name"].unique())
                axes.axvline(0, color=INK, linewidth=0.8)
                for number, metric in enumerate(metrics):
                    chosen = (tests["protocol"] == protocol) & (tests["metric"] == metric)
                    places = np.array([names.index(name) for name in tests["name"][chosen]])
                    _intervals(axes, tests[chosen], places + 0.3 * number - 0.15, number, limits)
                axes.set(xlim=limits, ylim=(len(names) - 0.5, -0.5))
                axes.set_yticks(range(len(names)), names)
                axes.tick_params("y", length=0, labelleft=not column)
                axes.xaxis.set_major_locator(MaxNLocator(3))
                axes.set_ylabel("" if column else f"{reference} above", fontweight="bold")
            grid[0, column].set_title(among[protocol], fontsize="medium")
        handles = grid[0, 0].get_legend_handles_labels()
        axes.figure.legend(*handles, loc="outside lower center", ncols=2)

    apart = int(told_apart(differences).sum())
    smallest, largest = differences["difference"].min(), differences["difference"].max()
    return picture(
        "The difference of the means and its 95 % interval. Filled marks are differences that are "
        "told apart after Holm's correction, hollow ones are not; an arrow is beyond the axis.",
        f"{len(differences)} differences with 95 % intervals, from {smallest:+.4f} to "
        f"{largest:+.4f}; told apart: {apart}. The table of the tests has each.",
        draw,
        (4.6, 1.2 + sum(0.32 * count + 0.3 for count in rows)),
        nrows=len(seen),
        ncols=len(among),
        squeeze=False,
        gridspec_kw={"height_ratios": rows},
    )


def _limits(seen: list[pd.DataFrame]) -> tuple[float, float]:
    """Of an axis: what it shows but for differences that would make the others too small to see."""
    tests = pd.concat(seen)
    sizes, halves = tests["difference"].abs(), (tests["high"] - tests["low"]) / 2
    reach = max(3 * sizes.median(), 2 * halves.max()) or 1.0
    left, right = max(-reach, tests["low"].min()), min(reach, tests["high"].max())
    margin = 0.08 * (max(right, 0) - min(left, 0))
    return min(left, 0) - margin, max(right, 0) + margin


def _intervals(
    axes: Axes, tests: pd.DataFrame, places: np.ndarray, number: int, limits: tuple[float, float]
) -> None:
    """The marks of a metric, hollow where nothing is told apart, arrows at what is beyond."""
    colour, marker = SERIES[number], MARKERS[number]
    axes.hlines(places, tests["low"], tests["high"], color=colour, linewidth=1.4)
    for place, difference, apart in zip(
        places, tests["difference"], told_apart(tests), strict=True
    ):
        shown = np.clip(difference, *limits)
        beyond = {1: ">", 0: marker, -1: "<"}[int(np.sign(difference - shown))]
        face = colour if apart else "none"
        axes.plot(shown, place, beyond, color=colour, markerfacecolor=face, clip_on=False, ms=4.5)
    axes.plot([], [], f"{marker}-", color=colour, markersize=4.5, label=tests["metric"].iloc[0])


def curve(name: str, log: pd.DataFrame, metric: str, highest: float, longest: int) -> Picture:
    """The validation metric of a training by epoch, phase after phase, the best epochs marked.

    Args:
        name: The system's.
        log: Of `read_logs`, of one training.
        metric: Its name.
        highest: The largest metric of all pictures.
        longest: The most epochs of all pictures.
    """
    log = log.assign(whole=np.arange(1, len(log) + 1))
    phases = [of_phase for _, of_phase in log.groupby("phase", sort=True)]
    best = [of_phase.loc[of_phase["metric"].idxmax()] for of_phase in phases]

    def draw(axes: Axes) -> None:
        for number, (of_phase, row) in enumerate(zip(phases, best, strict=True)):
            style = {"color": SERIES[number], "linestyle": ("-", "--")[number]}
            axes.plot(of_phase["whole"], of_phase["metric"], **style)
            axes.plot(row["whole"], row["metric"], "*", color=SERIES[number], markersize=10)
        axes.axhline(highest, color=QUIET, linestyle=":", linewidth=1)
        axes.set(xlim=(0, longest + 1), ylim=(0, 1.1 * highest or 1), xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
        axes.yaxis.set_major_locator(MaxNLocator(4))

    said = "; then ".join(
        f"{len(of_phase)} epoch{'s' * (len(of_phase) > 1)}, the best {row['metric']:.4f} after "
        f"{row['epoch']:.0f}"
        for of_phase, row in zip(phases, best, strict=True)
    )
    return picture(f"{name}: {said}", f"Validation {metric} of {name}: {said}.", draw, (2.3, 1.7))


def divergence(by_system: dict[str, np.ndarray]) -> Picture:
    """The divergence of interests, a row per system: quartiles, median and mean.

    Args:
        by_system: Name → float [targets], in bits.
    """
    quartiles = {name: np.percentile(bits, [25, 50, 75]) for name, bits in by_system.items()}

    def draw(axes: Axes) -> None:
        for place, (name, (low, middle, high)) in enumerate(quartiles.items()):
            axes.barh(place, high - low, 0.6, low, color=SERIES[0], alpha=0.5)
            axes.plot([middle, middle], [place - 0.3, place + 0.3], color=INK, linewidth=2)
            axes.plot(by_system[name].mean(), place, "D", color=SERIES[1])
        axes.set_yticks(range(len(quartiles)), quartiles)
        axes.tick_params("y", length=0)
        axes.set(xlim=(0, 1), ylim=(len(quartiles) - 0.5, -0.5))
        axes.set(xlabel="Jensen-Shannon divergence, bits")

    said = "; ".join(f"{name} {bits.mean():.3f}" for name, bits in by_system.items())
    return picture(
        "The bar holds the middle half of the targets, its stroke is the median, ◆ the mean.",
        f"Mean divergence of interests: {said}.",
        draw,
        (4.6, 0.7 + _ROW * len(quartiles)),
    )


def sensitivity(metric: str, tables: dict[tuple[str, str], pd.DataFrame]) -> Picture:
    """A metric by the values of settings, all to one scale.

    Args:
        metric: Its name.
        tables: By system and setting, a table that is indexed by value, with the columns `mean` and
            `std`; of one seed, the latter is missing.
    """

    def draw(grid: np.ndarray) -> None:
        for axes, ((system, setting), table) in zip(grid[:, 0], tables.items(), strict=True):
            places, deviations = range(len(table)), table["std"]
            style = {"color": SERIES[0], "ecolor": INK, "marker": "o", "capsize": 4}
            error = None if deviations.isna().all() else deviations
            axes.errorbar(places, table["mean"], error, **style)
            axes.set_xticks(places, [f"{value:.9g}" for value in table.index])
            axes.set(xlabel=f"{setting} of {system}", ylabel=f"test {metric}")

    said = [
        f"{metric} of {system} by {setting}: "
        + "; ".join(f"{mean:.4f} at {value:.9g}" for value, mean in table["mean"].items())
        for (system, setting), table in tables.items()
    ]
    size, grid = (4.6, 2.4 * len(tables)), {"nrows": len(tables), "sharey": True, "squeeze": False}
    named = listed([setting for _, setting in tables])
    return picture(f"{metric} by {named}", f"{'. '.join(said)}.", draw, size, **grid)


def interest_bars(case: Case) -> Picture:
    """What the predictor gives each interest, beside how well each matches the target."""
    places = np.arange(len(case.predicted))

    def draw(axes: Axes) -> None:
        axes.bar(places - 0.2, case.predicted, 0.38, color=SERIES[0], label="expected")
        style = {"color": "none", "edgecolor": SERIES[1], "hatch": "///"}
        axes.bar(places + 0.2, case.matched, 0.38, label="matches the next item", **style)
        axes.set_xticks(places, [str(k + 1) for k in places])
        axes.set(xlabel="interest", ylabel="share", ylim=(0, 1))
        axes.figure.legend(loc="outside lower center", ncols=2)

    said = "; ".join(
        f"interest {k + 1} {case.predicted[k]:.0%} and {case.matched[k]:.0%}" for k in places
    )
    return picture(
        "How much of each interest is expected to act next, and how much of the match with the "
        "next item each has",
        f"What is expected of each interest, and its match with the next item: {said}.",
        draw,
        (4.6, 2.6),
    )


def plane(found: Map, name: str) -> Picture:
    """Items and interests in two dimensions.

    Args:
        found: Of `map_of`.
        name: The system's.
    """
    users, number, _ = found.interests.shape

    def draw(axes: Axes) -> None:
        # As a bitmap, or a picture of many items is a file of megabytes; it is grey in all lights.
        axes.scatter(*found.items.T, s=3, color="#8a9099", alpha=0.5, linewidth=0, rasterized=True)
        for k in range(number):
            style = {"color": SERIES[k % len(SERIES)], "marker": MARKERS[k % len(MARKERS)]}
            axes.scatter(*found.interests[:, k].T, s=10, linewidth=0, label=str(k + 1), **style)
        axes.set(xlabel="first axis of the interests", ylabel="second axis")
        axes.figure.legend(title="interest", loc="outside lower center", ncols=6, markerscale=2)

    return picture(
        f"Items (grey) and the {number} interests of {users} users in {name}",
        f"Map of {len(found.items):,} items and the {number} interests of {users} users in {name}; "
        f"{found.own:.0%} of the interests are nearest to the centre of their own cloud.",
        draw,
        (4.6, 4.4),
    )
