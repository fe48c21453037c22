"""What the figures of a comparison say, in words."""

from collections.abc import Iterator, Sequence

import pandas as pd

from tfrs_timirec.comparison.results import seen_from

# Of differences that are none, the share that Holm's correction lets pass for one.
ALPHA = 0.05


def conclusion(
    means: dict[str, pd.DataFrame],
    paper: pd.DataFrame,
    differences: pd.DataFrame,
    metrics: Sequence[str],
    among: dict[str, str],
    sensitivity: dict[tuple[str, str], pd.DataFrame],
) -> list[str]:
    """Which system is best, what the references are above, and what a varied setting does.

    Args:
        means: By protocol, the figures: a row per system, a column per metric.
        paper: The same of the paper, for the protocol `sampled`; it may lack rows and columns.
        differences: Of `results.differences`.
        metrics: Those that are told with their values.
        among: By protocol, what targets are ranked among, as the end of a sentence.
        sensitivity: System and setting → the first of these metrics by the setting's value, of the
            protocol `sampled`.

    Returns:
        Sentences, the most important ones first.
    """
    said = [_best(figures, metrics, among[protocol]) for protocol, figures in means.items()]
    if len(differences):
        for reference in differences["reference"].unique():
            seen = seen_from(differences, reference)
            for protocol, tests in seen.groupby("protocol", sort=False):
                said += _apart(reference, tests, among[protocol])
        said.append(_together(differences, among))
    said += [
        _highest(setting, f"{system}'s {metrics[0]} {among['sampled']}", table["mean"])
        for (system, setting), table in sensitivity.items()
    ]
    return [*said, *_beside_the_paper(means["sampled"], paper, metrics)]


def told_apart(differences: pd.DataFrame) -> pd.Series:
    """Whether each difference is more than chance explains, after Holm's correction."""
    return differences["p_holm"] < ALPHA


def listed(words: Sequence[str]) -> str:
    """Words as a list in a sentence: a, b and c."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _begun(sentence: str) -> str:
    return f"{sentence[0].upper()}{sentence[1:]}"


def _percent(share: float) -> str:
    return f"{100 * share:.{int(share < 0.1)}f} %"


def _best(figures: pd.DataFrame, metrics: Sequence[str], among: str) -> str:
    """Which system leads by which metric."""
    place = _begun(among)
    values = [f"{metric} {figures[metric].max():.4f}" for metric in metrics]
    if len(figures) == 1:
        return f"{place}, {figures.index[0]} has {listed(values)}."
    leads: dict[tuple[str, ...], list[str]] = {}
    for metric, column in figures.items():
        value = f" ({column.max():.4f})" if metric in metrics else ""
        leading = tuple(figures.index[column == column.max()])
        leads.setdefault(leading, []).append(f"{metric}{value}")
    (first, by), *others = leads.items()
    if not others:
        by = [f"every metric ({', '.join(values)})"]
    best = (
        f"{listed(first)} {'is' if len(first) == 1 else 'are'} the best of {len(figures)} systems"
    )
    rest = "".join(f"; {listed(names)} by {listed(led)}" for names, led in others)
    return f"{place}, {best} by {listed(by)}{rest}."


def _highest(setting: str, metric: str, by_value: pd.Series) -> str:
    """Where a metric is highest and lowest by a setting's value."""
    # As they are told: what differs by less is alike.
    told = by_value.map("{:.4f}".format)
    highest, lowest = told[by_value.idxmax()], told[by_value.idxmin()]
    if highest == lowest:
        return f"Whatever {setting}, {metric} is {highest}."

    def at(value: str) -> str:
        return f"{listed([f'{v:.9g}' for v in told.index[told == value]])} ({value})"

    return f"By {setting}, {metric} is highest at {at(highest)} and lowest at {at(lowest)}."


def _apart(reference: str, tests: pd.DataFrame, among: str) -> Iterator[str]:
    """What a reference is above and below; metrics that agree on it share a sentence."""
    verdicts: dict[tuple, list[str]] = {}
    for metric, of_metric in tests.groupby("metric", sort=False):
        apart = of_metric[told_apart(of_metric)]
        above = frozenset(apart["name"][apart["difference"] > 0])
        verdicts.setdefault((above, frozenset(apart["name"]) - above), []).append(metric)
    others = list(tests["name"].unique())
    for (above, below), metrics in verdicts.items():
        parts = []
        for side, chosen in (("above", above), ("below", below)):
            if chosen:
                names = listed([name for name in others if name in chosen])
                if len(chosen) == len(others) > 1:
                    names = f"all {len(others)} others"
                rows = tests[tests["name"].isin(chosen)]
                parts.append(f"{side} {names}, by {_least(rows, metrics)}")
        if parts:
            by = listed(metrics)
            yield f"{_begun(among)}, by {by}, {reference} is {', and '.join(parts)}."


def _least(rows: pd.DataFrame, metrics: Sequence[str]) -> str:
    """The smallest difference by each metric, and from which system it is."""
    said = []
    for metric in metrics:
        of_metric = rows[rows["metric"] == metric]
        row = of_metric.loc[of_metric["difference"].abs().idxmin()]
        size = abs(row["difference"])
        more = [_percent(size / row["of_other"])] * bool(row["of_other"])
        more += [row["name"]] * (len(of_metric) > 1)
        said.append(f"{size:.4f}" + f" ({', '.join(more)})" * bool(more))
    several = rows["name"].nunique() > 1
    return "at least " * several + listed(said)


def _together(differences: pd.DataFrame, among: dict[str, str]) -> str:
    """What chance alone could have brought about."""
    count = len(differences)
    together = differences[~told_apart(differences)]
    if together.empty:
        return (
            f"All {count} differences that were tested are more than chance explains (paired "
            f"t-tests over users, Holm's correction, p < {ALPHA})."
        )
    said = []
    for (reference, protocol), rows in together.groupby(["reference", "protocol"], sort=False):
        names = [
            f"{name} ({', '.join(of_name['metric'])})"
            for name, of_name in rows.groupby("name", sort=False)
        ]
        said.append(f"{reference} from {listed(names)} {among[protocol]}")
    return (
        f"What cannot be told apart (of {count} paired t-tests over users, Holm's correction, "
        f"p ≥ {ALPHA}): {'; '.join(said)}."
    )


def _beside_the_paper(
    ours: pd.DataFrame, paper: pd.DataFrame, metrics: Sequence[str]
) -> Iterator[str]:
    """How many of the paper's figures are reached, and which one is the least so."""
    shares = (ours / paper.reindex(index=ours.index, columns=ours.columns) - 1)[list(metrics)]
    shares = shares.stack().dropna().sort_values()
    if len(shares):
        reached, least = int((shares >= 0).sum()), shares.iloc[0]
        name, metric = shares.index[0]
        end, side = ("nearest", "above") if least >= 0 else ("farthest below", "below")
        yield (
            f"Of the paper's {len(shares)} figures of {listed(metrics)} for these systems, "
            f"{reached or 'none'} {'are' if reached > 1 else 'is'} reached; {name}'s {metric} is "
            f"the {end}, {_percent(abs(least))} {side} the paper's."
        )
