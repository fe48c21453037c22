"""The report of a comparison: Markdown, CSV and one self-contained page."""

import importlib.resources
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader
from matplotlib.colors import to_hex

from tfrs_timirec.comparison import pictures
from tfrs_timirec.comparison.interests import (
    Trained,
    case,
    divergences,
    has_predictor,
    in_two_dimensions,
)
from tfrs_timirec.comparison.results import (
    PROTOCOLS,
    differences,
    read_logs,
    read_metrics,
    read_planted,
    trainings_table,
)
from tfrs_timirec.comparison.settings import ComparisonSettings, Entry, Plan
from tfrs_timirec.data.metadata import read_metadata
from tfrs_timirec.export.settings import ExportSettings
from tfrs_timirec.files import write_whole


@dataclass
class Section:
    """A part of the report: a text, tables by name, pictures."""

    title: str
    text: str = ""
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    pictures: list[str] = field(default_factory=list)


def write_report(settings: ComparisonSettings, plan: Plan) -> None:
    """Writes `report.md`, `report.html` and one CSV per table into the folder of the report.

    Args:
        settings: Of the comparison.
        plan: What was trained.

    Raises:
        UserError: If a run is damaged, or the titles cannot be read.
    """
    sections = [
        *_metrics(settings, plan),
        Section("Trainings", "", {"trainings": _rounded(trainings_table(plan.systems))}),
        _curves(settings, plan),
        *_sensitivity(plan),
        *_planted(plan),
        *_interests(settings, plan),
    ]
    introduction = (
        f"{settings.seeds} seed{'s' * (settings.seeds > 1)} a system"
        f"{', mean ± standard deviation' * (settings.seeds > 1)}; the best figure of a column is "
        f"bold. Trained on {settings.base.data.source}."
    )
    title = f"Systems compared on {settings.paper or settings.base.data.source}"
    text = [f"# {title}", introduction]
    files = {}
    for section in sections:
        text += [f"## {section.title}", section.text]
        for name, table in section.tables.items():
            text += [f"### {name[0].upper()}{name[1:]}", table.to_markdown()]
            files[f"{name.replace(' ', '_')}.csv"] = table.to_csv()
    files["report.md"] = "\n\n".join(part for part in text if part) + "\n"
    environment = Environment(loader=PackageLoader("tfrs_timirec.comparison", ""), autoescape=True)
    files["report.html"] = environment.get_template("page.html").render(
        title=title,
        introduction=introduction,
        sections=[
            {**vars(s), "tables": {name: _html(table) for name, table in s.tables.items()}}
            for s in sections
        ],
        case=_case(settings, plan),
    )
    out = Path(settings.out)
    out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_whole(out / name, lambda file, content=content: file.write(content.encode()))


def _html(table: pd.DataFrame) -> str:
    """A table whose **bold** cells are bold."""
    html = table.to_html(border=0, index_names=False)
    while "**" in html:
        html = html.replace("**", "<b>", 1).replace("**", "</b>", 1)
    return html


def _paper(table: int, dataset: str | None) -> pd.DataFrame:
    """The paper's figures: one row per system, one column per metric."""
    path = importlib.resources.files("tfrs_timirec.comparison") / "paper.csv"
    with path.open() as file:
        figures = pd.read_csv(file)
    chosen = figures[(figures.table == table) & (figures.dataset == dataset)]
    return chosen.pivot(index="name", columns="metric", values="value")


def _metrics(settings: ComparisonSettings, plan: Plan) -> list[Section]:
    """Tables 2 and 4, ours beside the paper's, and the tests of the differences."""
    sections = []
    for title, entries, number in (
        ("Systems", plan.systems, 2),
        ("Ablations", plan.ablations, 4),
    ):
        if not entries:
            continue
        metrics = read_metrics(entries).drop(columns="seed")
        tables = {}
        for protocol, of_protocol in metrics.groupby("protocol", sort=False):
            groups = of_protocol.drop(columns="protocol").groupby("name", sort=False)
            tables[f"{title.lower()} {PROTOCOLS[protocol]}"] = _with_bold(groups)
        sampled = f"{title.lower()} {PROTOCOLS['sampled']}"
        tables[sampled] = _beside(tables[sampled], _paper(number, settings.paper))
        sections.append(Section(title, "", tables))
    if len({entry.name for entry in plan.systems}) > 1:
        tables = {}
        for reference in settings.references:
            found = differences(plan.systems, reference)
            found.index = found.pop("name") + ", " + found.pop("metric")
            shown = found.round({"low": 6, "high": 6}).map("{:.3g}".format)
            # A p of 0 is one that a float cannot hold.
            shown["p"] = shown["p"].replace("0", "< 1e-300")
            tables[f"{reference} above"] = shown
        text = (
            "How far a system is above each other one: the mean difference over users, its 95 % "
            "bootstrap interval, and p of a paired t-test."
        )
        sections.append(Section("Differences", text, tables))
    return sections


def _beside(ours: pd.DataFrame, paper: pd.DataFrame) -> pd.DataFrame:
    """The paper's figures, the best of a column in bold, each row below ours."""
    paper = paper.reindex(index=ours.index, columns=ours.columns).dropna(how="all")
    shown = paper.map("{:.4f}".format, na_action="ignore").fillna("")
    for column in paper.dropna(axis=1, how="all"):
        best = paper[column].idxmax()
        shown.loc[best, column] = f"**{shown.loc[best, column]}**"
    below = shown.rename(index="{}, paper".format)
    rows = [row for name in ours.index for row in (name, f"{name}, paper")]
    both = pd.concat([ours, below])
    return both.loc[[row for row in rows if row in both.index]]


def _with_bold(groups) -> pd.DataFrame:
    """Mean ± standard deviation, the best mean of a column in bold."""
    means, deviations = groups.mean(), groups.std()
    shown = means.map("{:.4f}".format)
    for column in means:
        if deviations[column].notna().all():
            shown[column] += deviations[column].map(" ± {:.4f}".format)
        best = means[column].idxmax()
        shown.loc[best, column] = f"**{shown.loc[best, column]}**"
    return shown


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    formats = {"parameters": "{:,.0f}", "epochs": "{:.0f}", "minutes": "{:.1f}"}
    return table.apply(lambda column: column.map(formats.get(column.name, "{:,.0f}").format))


def _curves(settings: ComparisonSettings, plan: Plan) -> Section:
    picture = pictures.curves(read_logs(plan.systems), settings.base.evaluation.metric)
    return Section("Training curves", "", {}, [picture])


def _sensitivity(plan: Plan) -> list[Section]:
    """Figure 3."""
    drawn, tables = [], {}
    for setting, entries in plan.sensitivity.items():
        section, key = setting.split(".")
        values = {e.name: getattr(getattr(e.settings, section), key) for e in entries}
        metrics = read_metrics(entries)
        sampled = metrics[metrics.protocol == "sampled"]
        table = sampled.groupby(sampled.name.map(values))["HR@10"].agg(["mean", "std"])
        table.index.name = setting
        tables[f"sensitivity {key}"] = table.round(4)
        drawn.append(pictures.sensitivity(setting, table))
    return [Section("Sensitivity", "Test HR@10.", tables, drawn)] if drawn else []


def _planted(plan: Plan) -> list[Section]:
    """What the predictors know of the interests that synthetic data planted."""
    found = read_planted(plan.entries)
    if found.empty:
        return []
    text = (
        "The share of users whose interest in the test item the predictor names, and what naming "
        "always the same interest would reach."
    )
    groups = found.drop(columns="seed").groupby("name", sort=False)
    table = _with_bold(groups).replace({"most frequent": {r"\*\*": ""}}, regex=True)
    return [Section("Planted interests", text, {"planted interests": table})]


def _first_of_each(entries: list[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.seed == 0]


def _interests(settings: ComparisonSettings, plan: Plan) -> list[Section]:
    """Figure 2, and the plane of interests and items of the reference."""
    by_system, planes = {}, []
    for entry in _first_of_each(plan.systems):
        trained = Trained(entry)
        if trained.represent(np.arange(1))["interests"].shape[1] > 1:
            by_system[entry.name] = divergences(trained)
            if entry.name == settings.references[0]:
                planes.append(pictures.plane(*in_two_dimensions(trained)))
    if not by_system:
        return []
    table = pd.DataFrame({name: pd.Series(d).describe() for name, d in by_system.items()}).T
    text = (
        "The Jensen-Shannon divergence between the interests that match the target and those that "
        "match the best recommended item: the smaller, the better the interest was found."
    )
    sections = [
        Section(
            "Divergence of interests",
            text,
            {"divergence": table[["mean", "25%", "50%", "75%"]].round(4)},
            [pictures.divergence(by_system)],
        )
    ]
    if planes:
        text = f"The items and the interests of 200 users in {settings.references[0]}."
        sections.append(Section("Interests and items", text, {}, planes))
    return sections


def _case(settings: ComparisonSettings, plan: Plan) -> dict | None:
    """Figure 4, for the template."""
    (entry,) = (e for e in _first_of_each(plan.systems) if e.name == settings.references[0])
    trained = Trained(entry)
    if not has_predictor(trained):
        return None
    found = case(trained, settings.case_user)
    ids = trained.store.item_ids
    file = ExportSettings(titles=settings.titles)
    titles = read_metadata(file, settings.titles_column, ids) or [""] * len(ids)

    def title(item: int) -> str:
        return titles[item - 1] or str(ids[int(item) - 1].as_py())

    def listed(items) -> list[dict]:
        return [{"title": title(item), "target": item == found.target} for item in items]

    return {
        "user": found.user,
        "target": title(found.target),
        "history": [
            {"title": title(item), "colour": to_hex(f"C{k}")}
            for item, k in zip(found.history, found.history_interest, strict=True)
        ],
        "picture": pictures.interest_bars(found),
        "lists": [
            {"title": "With the predictor", "entries": listed(found.with_predictor)},
            {"title": "Without", "entries": listed(found.without)},
        ],
    }
