"""The sections of a report, in its order; a new one is a function here and its name in SECTIONS."""

import importlib.resources
from collections.abc import Iterable

import numpy as np
import pandas as pd

from tfrs_timirec.comparison import pictures
from tfrs_timirec.comparison.conclusion import conclusion, listed
from tfrs_timirec.comparison.interests import (
    Trained,
    case,
    divergences,
    map_of,
)
from tfrs_timirec.comparison.results import (
    read_groups,
    read_interests,
    read_lists,
    read_logs,
    read_metrics,
    read_planted,
    trainings_table,
)
from tfrs_timirec.comparison.section import Compared, Section
from tfrs_timirec.evaluation import interests, lists
from tfrs_timirec.models.distillation import Distilled


def _conclusion(compared: Compared) -> Section:
    """In words, and who leads."""
    means = _means(compared.metrics)
    paper = _paper(2, compared.settings.paper)
    points = conclusion(
        means,
        paper,
        compared.differences,
        compared.headline,
        compared.among,
        compared.sensitivity,
    )
    if compared.settings.seeds == 1:
        points.append("One seed a system: how far another seed would lie from it is not known.")
    metric, drawn = compared.headline[0], []
    ranked = means if len(compared.settings.systems) > 1 else {}
    for protocol, figures in ranked.items():
        of_protocol = compared.metrics[compared.metrics["protocol"] == protocol]
        shown = figures[[metric]].set_axis(["mean"], axis=1)
        shown["std"] = of_protocol.groupby("name")[metric].std()
        shown["paper"] = paper.get(metric) if protocol == "sampled" else np.nan
        drawn.append(pictures.ranking(shown, metric, compared.among[protocol]))
    return Section("Conclusion", points=points, pictures=drawn)


def _figures(compared: Compared) -> Section:
    """Table 2, ours beside the paper's."""
    return _table(compared, "Figures", "systems", compared.metrics, 2)


def _ablations(compared: Compared) -> Section | None:
    """Table 4, ours beside the paper's."""
    entries = compared.plan.ablations
    return _table(compared, "Ablations", "ablations", read_metrics(entries), 4) if entries else None


def _table(
    compared: Compared, title: str, name: str, metrics: pd.DataFrame, number: int
) -> Section:
    """The main metrics of both protocols beside the paper's, and all others folded."""
    paper = _paper(number, compared.settings.paper)
    main, folded = {}, {}
    for protocol, of_protocol in metrics.groupby("protocol", sort=False):
        among = compared.among[protocol]
        shown = _with_bold(of_protocol.drop(columns=["seed", "protocol"]))
        beside = shown.copy()
        if protocol == "sampled":
            for metric in shown.columns.intersection(paper.columns):
                theirs = paper[metric].reindex(shown.index)
                beside[metric] += theirs.map(" ({:.4f})".format).where(theirs.notna(), "")
        main |= {f"{metric} {among}": beside[metric] for metric in compared.headline}
        folded[f"All metrics {among}"] = beside
    seeds = compared.settings.seeds
    deviations = f"Mean ± standard deviation over {seeds} seeds; the" * (seeds > 1) or "The"
    text = f"{deviations} best figure of a column is bold."
    if len(paper):
        text += f" In brackets: the figures of the paper's table {number}."
    tables = {f"Main metrics of the {name}": pd.DataFrame(main)}
    return Section(title, text, tables=tables, folded=folded, files={name: metrics})


def _paper(table: int, dataset: str | None) -> pd.DataFrame:
    """The paper's figures: one row per system, one column per metric."""
    path = importlib.resources.files("tfrs_timirec.comparison") / "paper.csv"
    with path.open() as file:
        figures = pd.read_csv(file)
    chosen = figures[(figures.table == table) & (figures.dataset == dataset)]
    return chosen.pivot(index="name", columns="metric", values="value")


def _means(metrics: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By protocol, the means over the seeds."""
    return {
        protocol: of_protocol.drop(columns=["seed", "protocol"]).groupby("name", sort=False).mean()
        for protocol, of_protocol in metrics.groupby("protocol", sort=False)
    }


def _with_bold(metrics: pd.DataFrame) -> pd.DataFrame:
    """Mean ± standard deviation by name, the best mean of a column in bold."""
    groups = metrics.rename(columns={"name": "system"}).groupby("system", sort=False)
    means, deviations = groups.mean(), groups.std()
    shown = means.map("{:.4f}".format)
    for column in means:
        shown.loc[means[column] == means[column].max(), column] = "**" + shown[column] + "**"
        if deviations[column].notna().all():
            shown[column] += deviations[column].map(" ±\u00a0{:.4f}".format)
    return shown


def _differences(compared: Compared) -> Section | None:
    """How far the references are above the others."""
    found = compared.differences
    if found.empty:
        return None
    table = pd.DataFrame(
        {
            "above": found["name"],
            "ranked": found["protocol"].map(compared.among),
            "metric": found["metric"],
            "difference": found["difference"].map("{:+.4f}".format),
            "95 % interval": found["low"].map("{:+.4f} to ".format)
            + found["high"].map("{:+.4f}".format),
            # A p of 0 is one that a float cannot hold.
            "p": found["p"].map("{:.2g}".format).replace("0", "< 1e-300"),
            "p, Holm": found["p_holm"].map("{:.2g}".format).replace("0", "< 1e-300"),
        }
    ).set_index(found["reference"])
    text = (
        "Paired t-tests over users, each represented by the mean over the seeds of what they add "
        f"to the metric. The p values are corrected for the {len(found)} tests by Holm's method; "
        "the intervals are not. They tell how much hangs on which users there are, and not how "
        "much on the chance in training."
    )
    return Section(
        "Differences",
        text,
        folded={"The tests": table},
        pictures=[pictures.forest(found, compared.settings.references, compared.among)],
        files={"differences": found},
    )


def _lists(compared: Compared) -> Section | None:
    """What is recommended, whether or not it is what came next."""
    found = read_lists(compared.plan.systems)
    if found.empty:
        return None
    n = compared.cutoff
    kinds = {f"{kind}@{n}": kind for kind in lists.MEANING if f"{kind}@{n}" in found}
    shown = _figures_by_system(found.rename(columns=kinds), kinds.values())
    return Section(
        "Beyond accuracy",
        f"What each user's best {n} items of the catalogue show, without those that the user "
        "already had; means over the users and the seeds.",
        points=[f"{kind}: {lists.MEANING[kind]}." for kind in kinds.values()],
        tables={"The lists of the systems": shown},
        files={"lists": found},
    )


def _groups(compared: Compared) -> Section | None:
    """Who is served well, and who is not."""
    found = read_groups(compared.plan.systems, compared.headline)
    if found.empty:
        return None
    (title, table), *others = (
        (f"{metric} {compared.among['full']}", _with_bold(of.drop(columns=["seed", "metric"])))
        for metric, of in found.groupby("metric", sort=False)
    )
    text = (
        f"{title}, by the length of the history and by how popular the target is in training; "
        "each pair of groups is split at its median over the targets, and left out where all are "
        "alike."
    )
    return Section(
        "Whom the systems serve",
        text,
        tables={title: table},
        folded=dict(others),
        files={"groups": found},
    )


def _interests(compared: Compared) -> Section | None:
    """What several interests are worth."""
    metric = compared.headline[0]
    found = read_interests(compared.plan.systems, metric)
    if found.empty:
        return None
    known = {name: means for name, means in interests.MEANING.items() if name in found}
    points = [f"{name}: {means}." for name, means in known.items()]
    points.append(
        f"{metric} is that {compared.among['full']}; the oracle's is what it would be if the "
        "interest that suits the target best were known."
    )
    columns = ["interests", *known, metric, f"{metric}, oracle"]
    return Section(
        "What the interests are worth",
        "For systems that keep several interests of each user; means over the users and the seeds.",
        points=points,
        tables={"The interests of the systems": _figures_by_system(found, columns)},
        files={"interests": found},
    )


def _figures_by_system(found: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """The means over the seeds of figures of all sizes, as text, "" where there is none."""
    means = found.groupby("name", sort=False)[list(columns)].mean()

    def as_text(figures: pd.Series) -> pd.Series:
        # K is a count; popularity, one of interactions, goes into the thousands.
        digits = {"interests": 0, "Popularity": 1}.get(figures.name, 4)
        return figures.map(f"{{:,.{digits}f}}".format, na_action="ignore").fillna("")

    return means.rename_axis("system").apply(as_text)


def _trainings(compared: Compared) -> Section | None:
    """What the trainings took, and how they went."""
    logs = read_logs(compared.plan.systems)
    if logs.empty:
        return None
    watched = compared.settings.base.evaluation
    metric = f"{watched.metric} {compared.among[watched.protocol]}"
    of_first = logs[logs.seed == 0].groupby("name", sort=False)
    highest, longest = logs[logs.seed == 0].metric.max(), of_first.size().max()
    drawn = [pictures.curve(name, log, metric, highest, longest) for name, log in of_first]
    text = (
        f"Validation {metric} by epoch, of the first seed, all to one scale. A star marks a "
        "phase's best epoch, whose weights are kept; the dotted line is the best of all systems."
    )
    if logs.phase.max() > 1:
        text += (
            " Solid is the first phase, which trains the interests alone, dashed the second one, "
            "which goes on from its star and trains the predictor with them."
        )
    table = trainings_table(compared.plan.systems, logs)
    formats = {"epochs": "{:.0f}", "minutes": "{:.1f}"}
    shown = table.rename_axis("system").apply(
        lambda column: column.map(formats.get(column.name, "{:,.0f}").format)
    )
    tables = {"What the trainings took, on average over the seeds": shown}
    return Section(
        "Training", text, tables=tables, pictures=drawn, small=True, files={"trainings": table}
    )


def _sensitivity(compared: Compared) -> Section | None:
    """Figure 3."""
    metric, tables = compared.headline[0], compared.sensitivity
    if not tables:
        return None
    return Section(
        "Sensitivity",
        f"Test {metric} {compared.among['sampled']}, with other values of a setting.",
        # Of one seed there is no deviation.
        folded={
            f"{system}'s {metric} by {setting}": table.dropna(axis=1).map("{:.4f}".format)
            for (system, setting), table in tables.items()
        },
        pictures=[pictures.sensitivity(metric, tables)],
        files={
            f"sensitivity_{setting.partition('.')[2]}": table
            for (_, setting), table in tables.items()
        },
    )


def _planted(compared: Compared) -> Section | None:
    """What the predictors know of the interests that synthetic data planted."""
    found = read_planted(compared.plan.entries)
    if found.empty:
        return None
    text = (
        "The share of users whose interest in the test item the predictor names, and what naming "
        "always the same interest would reach."
    )
    table = _with_bold(found.drop(columns="seed"))
    table["most frequent"] = table["most frequent"].str.replace("**", "")
    return Section(
        "Planted interests", text, tables={"Agreement": table}, files={"planted_interests": found}
    )


def _divergence(compared: Compared) -> Section | None:
    """Figure 2."""
    by_system = {}
    for name, entry in compared.first.items():
        is_reference = name == compared.settings.references[0]
        trained = compared.reference if is_reference else Trained(entry)
        if trained.num_interests > 1:
            by_system[name] = divergences(trained)
    if not by_system:
        return None
    table = pd.DataFrame({name: pd.Series(d).describe() for name, d in by_system.items()}).T
    least = table["mean"].idxmin()
    text = (
        "The Jensen-Shannon divergence between the interests that match the target and those that "
        "match the best recommended item, from 0 (the same interests) to 1 bit (others): the "
        f"smaller, the better the interest was found. It is smallest in {least}, with a mean of "
        f"{table['mean'].min():.3f}."
    )
    columns = table[["mean", "25%", "50%", "75%"]].rename_axis("system")
    return Section(
        "How well the interest is found",
        text,
        folded={"Mean and quartiles": columns.map("{:.4f}".format)},
        pictures=[pictures.divergence(by_system)],
        files={"divergence": columns},
    )


def _map(compared: Compared) -> Section | None:
    """Where the interests of the reference are among the items."""
    name = compared.settings.references[0]
    if compared.reference.num_interests == 1 or compared.reference.items.shape[1] == 1:
        return None
    found = map_of(compared.reference)
    count = len(found.nearest)
    text = (
        f"A grey dot is an item of {name}, a coloured mark one of the {count} interests of a user; "
        "both are directions, seen along the two axes in which the interests differ most "
        f"({found.spread:.0%} of their variance). An interest recommends the items in whose "
        f"direction it points. In all dimensions, {found.own:.0%} of the marks are nearest to the "
        "centre of the cloud of their own number. If an interest stood for the same tastes in all "
        f"users, all would be; if its number meant nothing, {1 / count:.0%}."
    )
    points = [
        f"Interest {k + 1} points at {listed([f'“{compared.title(item)}”' for item in items])}."
        for k, items in enumerate(found.nearest)
    ]
    return Section("Map of interests", text, points, pictures=[pictures.plane(found, name)])


def _case(compared: Compared) -> Section | None:
    """Figure 4: what the predictor changes for a user."""
    trained, settings = compared.reference, compared.settings
    if not isinstance(trained.model, Distilled):
        return None
    known = np.array([bool(title) for title in compared.titles]) if compared.titles else None
    found = case(trained, settings.case_user, known)
    target = compared.title(found.target)
    is_helped = found.place < min(found.place_alike, found.place_without)
    if is_helped:
        helps = "the predictor helps"
    elif found.place < found.place_without:
        helps = "adding the interests up helps, and predicting their weights does not"
    else:
        helps = "the predictor does not help"
    chosen = ", chosen because the predictor helps," * (is_helped and settings.case_user is None)
    text = (
        f"User {found.user}{chosen} went on to “{target}”. With the interests weighed as "
        f"{settings.references[0]} expects them, it is at place {found.place:,}; with "
        f"all of them weighed alike, at {found.place_alike:,}; by the best-matching interest "
        f"alone, at {found.place_without:,}: {helps}."
    )
    if compared.titles is None:
        text += " Items go by their ids: titles are shown where the setting titles names a file."
    history = pd.DataFrame(
        {
            "item, the oldest first": [compared.title(item) for item in found.history],
            "interest": [str(k + 1) for k in found.history_interest],
        },
        index=pd.Index(range(1, len(found.history) + 1), name="step"),
    )
    lists = pd.DataFrame(
        {
            title: [
                compared.title(item) + " ◀ the next item" * bool(item == found.target)
                for item in items
            ]
            for title, items in (
                ("with the predictor", found.with_predictor),
                ("without it", found.without),
            )
        },
        index=pd.Index(range(1, len(found.without) + 1), name="place"),
    )
    tables = {
        "The history, and the interest that matches each item best": history,
        "What is recommended": lists,
    }
    return Section("A user's case", text, tables=tables, pictures=[pictures.interest_bars(found)])


SECTIONS = (
    _conclusion,
    _figures,
    _differences,
    _ablations,
    _lists,
    _groups,
    _trainings,
    _sensitivity,
    _planted,
    _interests,
    _divergence,
    _map,
    _case,
)


def sections(compared: Compared) -> list[Section]:
    """All that there are figures for.

    Args:
        compared: What was compared.

    Raises:
        UserError: If a run is damaged, the titles cannot be read, or the user of the case is none.
    """
    return [section for make in SECTIONS if (section := make(compared))]
