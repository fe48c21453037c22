"""The report of small trainings whose names and titles are what a page has to escape."""

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from tests.browser import chromium, opened, screens
from tfrs_timirec import Recommender
from tfrs_timirec.comparison import sections as module
from tfrs_timirec.comparison.interests import Trained, case, map_of
from tfrs_timirec.comparison.page import html, write_report
from tfrs_timirec.comparison.pictures import curve
from tfrs_timirec.comparison.section import Compared, Section
from tfrs_timirec.comparison.sections import SECTIONS
from tfrs_timirec.comparison.settings import ComparisonSettings, Plan, make_plan
from tfrs_timirec.comparison.trainings import train_missing
from tfrs_timirec.config import settings_named
from tfrs_timirec.errors import UserError

REFERENCE = "TiMiRec <b>|$*x*"
SYSTEMS = {
    "popularity": {"model": {"system": "popularity"}},
    "ComiRec": {"model": {"system": "comirec"}},
    REFERENCE: {"model": {"system": "timirec"}},
}


@pytest.fixture(scope="module")
def compared(eagerly, tmp_path_factory) -> tuple[ComparisonSettings, Plan]:
    """Three systems with two seeds, which are ablation and sensitivity too; nothing is compiled."""
    folder = tmp_path_factory.mktemp("compared")
    rng = np.random.default_rng(0)
    walks = (rng.integers(20, size=(40, 1)) + rng.integers(1, 8, (40, 8)).cumsum(axis=1)) % 20
    # Histories of several lengths.
    rows = [
        (f"u{u}", f"i{i}", t) for u, walk in enumerate(walks) for t, i in enumerate(walk[u % 3 :])
    ]
    columns = ["user_id", "item_id", "timestamp"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "log.csv", index=False)
    # The last item has no title.
    titles = [(f"i{i}", f"<script>alert({i})</script> | `{i}` & *it*") for i in range(19)]
    pd.DataFrame(titles, columns=["item_id", "title"]).to_csv(folder / "titles.csv", index=False)
    base = settings_named(
        "timirec",
        {
            "source": str(folder / "log.csv"),
            "folder": str(folder / "data"),
            "core": 1,
            "embedding_size": 8,
            "num_interests": 2,
            "history_length": 4,
            "learning_rate": 0.01,
            "initial_stddev": 0.1,
            "batch_size": 64,
            "max_epochs": 1,
            "negatives": 5,
        },
    )
    settings = ComparisonSettings(
        base=base,
        systems=SYSTEMS,
        ablations={REFERENCE: SYSTEMS[REFERENCE]},
        references=[REFERENCE, "ComiRec"],
        sensitivity={REFERENCE: {"model.num_interests": [2]}},
        seeds=2,
        paper="Beauty",
        titles=str(folder / "titles.csv"),
        runs=str(folder / "runs"),
        out=str(folder / "report"),
    )
    plan = make_plan(settings, "test")
    with eagerly():
        for entry in plan.entries:
            Recommender.from_settings(entry.settings).fit(run=entry.folder, silent=True)
    write_report(settings, plan)
    return settings, plan


@pytest.fixture(scope="module")
def report(compared) -> Path:
    return Path(compared[0].out)


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@screens
def test_the_page_in_both_lights_on_both_screens(report, browser, scheme, screen):
    with opened(browser, report / "report.html", screen, scheme) as page:
        # Two rankings, the forest, two curves, sensitivity, divergence, map and case.
        assert page.get_by_role("img").count() == 2 + 1 + 2 + 1 + 1 + 1 + 1
        headings = page.get_by_role("heading", level=2).all_text_contents()
        assert headings[:3] == ["Conclusion", "Figures", "Differences"]
        links = page.get_by_role("navigation").get_by_role("link")
        assert links.all_text_contents() == headings[1:]
        for link in links.all():
            assert page.locator(link.get_attribute("href")).count() == 1
        # What is read first fits a telephone; unfolded tables may be moved there, by keys too.
        whole = "all => all.every(table => table.scrollWidth <= table.clientWidth)"
        tables = page.locator(".figures" if screen == "wide" else "#figures > div .figures")
        assert tables.count() > 0 and tables.evaluate_all(whole)
        # Nothing of a name or a title is markup.
        assert page.locator("section script").count() == 0
        assert page.get_by_role("rowheader", name=REFERENCE).count() > 0


def test_names_and_titles_are_escaped(report):
    page, markdown = ((report / f"report.{kind}").read_text() for kind in ("html", "md"))
    assert "TiMiRec &lt;b&gt;" in page and "TiMiRec <b>" not in page
    assert "&lt;script&gt;" in page and "<script" not in page
    assert r"TiMiRec \<b\>\|$\*x\*" in markdown and "TiMiRec <b>" not in markdown
    assert r"\<script\>" in markdown and not re.search(r"(?<!\\)<", markdown)
    assert "src=" not in page and "<link" not in page


def test_markdown_has_the_sections_in_the_order_of_the_page(report):
    page, markdown = ((report / f"report.{kind}").read_text() for kind in ("html", "md"))
    titles = [unescape(title) for title in re.findall(r"<h2>(.*)</h2>", page)]
    assert re.findall(r"^## (.*)$", markdown, re.M) == titles
    assert markdown.count("Picture: ") == page.count("<svg")
    # A row of a table has as many cells as its head, whatever is in the names.
    for block in markdown.split("\n\n"):
        if block.startswith("|"):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_the_files_hold_the_figures_of_each_seed(report, compared):
    figures = pd.read_csv(report / "systems.csv")
    assert len(figures) == 2 * 2 * len(SYSTEMS)
    differences = pd.read_csv(report / "differences.csv")
    # Two others from the first reference, and one from the second that was not tested yet.
    assert len(differences) == (2 + 1) * 2 * 2
    assert (differences["p_holm"] >= differences["p"]).all()
    assert (differences["low"] <= differences["difference"]).all()
    sampled = figures[(figures["protocol"] == "sampled") & (figures["name"] == REFERENCE)]
    of_reference = differences[(differences["protocol"] == "sampled")].query("metric == 'HR@10'")
    assert of_reference["of_reference"].iloc[0] == pytest.approx(sampled["HR@10"].mean())
    names = {path.name for path in report.glob("*.csv")}
    assert names == {
        *("ablations.csv", "differences.csv", "divergence.csv", "sensitivity_num_interests.csv"),
        *("systems.csv", "trainings.csv", "lists.csv", "groups.csv", "interests.csv"),
    }


def test_what_is_told_beside_hr_and_ndcg_is_that_of_the_runs(report, compared):
    lists, groups, interests = (
        pd.read_csv(report / f"{name}.csv").set_index(["name", "seed"])
        for name in ("lists", "groups", "interests")
    )
    assert set(interests.index) == {(n, s) for n in ("ComiRec", REFERENCE) for s in (0, 1)}
    for entry in compared[1].systems:
        of = entry.name, entry.seed
        found = json.loads((entry.folder / "metrics.json").read_text())
        # What comes last is the whole system.
        *_, whole = found["test"]
        assert lists.loc[of].filter(like="@").to_dict() == found["lists"][whole]
        of_entry = groups.loc[[of]].set_index("metric")
        for name, of_group in found["groups"].items():
            full = of_group["test"][whole]["full"]
            assert of_entry[name].to_dict() == {m: full[m] for m in ("HR@10", "NDCG@10")}
        if whole in found["interests"]:
            shown, expected = interests.loc[of], found["interests"][whole]
            assert shown["HR@10, oracle"] == expected["oracle"]["HR@10"]
            assert shown["HR@10"] == found["test"][whole]["full"]["HR@10"]
            assert shown["effective number"] == expected["effective number"]
    text = (report / "report.md").read_text()
    coverage = lists["Coverage@10"].groupby("name").mean()["ComiRec"]
    assert re.search(rf"^\| ComiRec +\| {coverage:.4f} ", text, re.M)


def test_the_case_is_of_a_user_whose_items_have_titles(compared):
    settings, plan = compared
    sections = {make.__name__: make(Compared(settings, plan)) for make in SECTIONS[-2:]}
    history, lists = sections["_case"].tables.values()
    assert history["item, the oldest first"].str.startswith("<script>").all()
    assert "User u" in sections["_case"].text
    assert list(lists.columns) == ["with the predictor", "without it"]
    assert len(sections["_map"].points) == 2


def test_the_case_of_a_given_user(compared):
    settings, plan = compared
    case = SECTIONS[-1](Compared(replace(settings, case_user="u7", titles=None), plan))
    assert case.text.startswith("User u7 went on to “i")
    assert "titles are shown where" in case.text
    with pytest.raises(UserError, match="case_user is 'u99', but no such user is tested"):
        SECTIONS[-1](Compared(replace(settings, case_user="u99"), plan))


@pytest.mark.parametrize(
    ("alike", "without", "said"),
    [
        (4, 5, "chosen because the predictor helps, went on"),
        (3, 5, "at 5: adding the interests up helps, and predicting their weights does not."),
        (9, 3, "at 3: the predictor does not help."),
    ],
)
def test_what_helps_in_the_case_is_told(compared, monkeypatch, alike, without, said):
    places = {"place": 3, "place_alike": alike, "place_without": without}
    monkeypatch.setattr(module, "case", lambda *given: replace(case(*given), **places))
    assert said in SECTIONS[-1](Compared(*compared)).text


def test_the_map_is_seen_along_the_axes_of_the_interests(compared):
    settings, plan = compared
    found = map_of(Compared(settings, plan).reference)
    spread = found.interests.reshape(-1, 2)
    np.testing.assert_allclose(spread.mean(axis=0), 0, atol=1e-6)
    # Principal axes: the first has the most, and what they show has nothing in common.
    (first, between), (_, second) = np.cov(spread.T)
    assert first > second and between == pytest.approx(0, abs=1e-6)
    assert 0 < found.spread <= 1


def test_the_place_in_the_case_is_that_of_the_evaluation(compared):
    _, plan = compared
    entry = next(entry for entry in plan.systems if entry.name == REFERENCE)
    trained = Trained(entry)
    users = pd.read_parquet(entry.folder / "users.parquet")
    cases = [case(trained, user) for user in users["user_id"]]
    # The test item of some was in their history before.
    assert any(found.target in found.history for found in cases)
    assert [found.place for found in cases] == list(users["TiMiRec full rank"] + 1)
    targets = np.arange(len(trained.instances))
    mean = trained.represent(targets)["interests"].mean(axis=1)
    of_target = trained.instances.positives - 1
    scores = trained.scores(targets, mean[:, None])
    places = (scores >= scores[targets, of_target][:, None]).sum(axis=1)
    assert [found.place_alike for found in cases] == list(places)


def test_runs_of_other_settings_are_not_taken_for_these(compared):
    settings, _ = compared
    base = replace(settings.base, training=replace(settings.base.training, learning_rate=0.02))
    with pytest.raises(UserError, match=r"training.learning_rate is 0.01 there and 0.02 here"):
        train_missing(make_plan(replace(settings, base=base), "test").entries, 1)


def test_a_comparison_of_popularity_alone(compared, tmp_path):
    settings, plan = compared
    alone = replace(plan, systems=plan.systems[:2], ablations=[], sensitivity={})
    systems = {"popularity": settings.systems["popularity"]}
    out = {"references": ["popularity"], "paper": None, "out": str(tmp_path)}
    settings = replace(settings, systems=systems, **out)
    shown = [section for make in SECTIONS if (section := make(Compared(settings, alone)))]
    assert [section.title for section in shown] == [
        *("Conclusion", "Figures", "Beyond accuracy", "Whom the systems serve")
    ]
    assert not shown[0].pictures
    write_report(settings, alone)
    text = (tmp_path / "report.md").read_text()
    assert text.startswith("# popularity on ") and "\npopularity, 2 seeds, trained on " in text


def test_of_one_seed_no_deviation_is_shown(compared):
    settings, plan = compared
    first = {name: [e for e in of if e.seed == 0] for name, of in plan.sensitivity.items()}
    compared = Compared(settings, replace(plan, sensitivity=first))
    (section,) = [s for make in SECTIONS if (s := make(compared)) and s.title == "Sensitivity"]
    assert section.folded and all([*table] == ["mean"] for table in section.folded.values())


@pytest.mark.parametrize("epochs", [1, 2, 5, 90])
def test_the_axis_of_a_curve_has_whole_epochs(epochs):
    log = pd.DataFrame({"phase": 1, "epoch": np.arange(1, epochs + 1), "metric": 0.25})
    drawn = ElementTree.fromstring(curve("A", log, "HR@5", 0.25, epochs).svg)
    texts = [text.text for text in drawn.findall(".//{*}text")]
    # The labels of the axis come before its name.
    labels = texts[: texts.index("epoch")]
    assert labels[0] == "0" and len(labels) > 1 and all(label.isdigit() for label in labels)


def test_each_phase_of_a_curve_has_a_star_at_its_best_epoch():
    metrics = [0.1, 0.3, 0.2, 0.4, 0.5, 0.45]
    log = pd.DataFrame({"phase": [1, 1, 1, 2, 2, 2], "epoch": [1, 2, 3] * 2, "metric": metrics})
    drawn = curve("A", log, "HR@5", 0.5, 6)
    assert drawn.caption == (
        "A: 3 epochs, the best 0.3000 after 2; then 3 epochs, the best 0.5000 after 2"
    )
    svg = ElementTree.fromstring(drawn.svg)
    label_at = {text.text: float(text.get("x")) for text in svg.findall(".//{*}text")}
    epoch = (label_at["6"] - label_at["0"]) / 6
    stars = [use for use in svg.findall(".//{*}use") if "--series" in use.get("style")]
    places = [(float(star.get("x")) - label_at["0"]) / epoch for star in stars]
    # The second phase goes on where the first one ended.
    assert places == pytest.approx([2, 5], abs=0.01)


def test_a_section_is_little_to_write():
    table = pd.DataFrame({"share": ["**0.5**", "<0.1"]}, ["a", "<b>"])
    page = html("T", "I", [Section("One", points=["a < b"]), Section("Two", folded={"t": table})])
    assert "<li>a &lt; b</li>" in page and "<td><b>0.5</b></td>" in page
    assert "<td>&lt;0.1</td>" in page and '<th scope="row">&lt;b&gt;</th>' in page
    assert '<a href="#two">Two</a>' in page
