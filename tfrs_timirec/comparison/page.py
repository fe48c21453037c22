"""The report of a comparison: Markdown, CSV and one self-contained page."""

import re
from pathlib import Path

from markupsafe import Markup, escape

from tfrs_timirec.comparison.section import Compared, Section
from tfrs_timirec.comparison.sections import sections
from tfrs_timirec.comparison.settings import ComparisonSettings, Plan
from tfrs_timirec.files import write_whole
from tfrs_timirec.pages.template import render

# Of cells: the best figure of a column.
_BOLD = re.compile(r"\*\*([\d.]+)\*\*")


def write_report(settings: ComparisonSettings, plan: Plan) -> None:
    """Writes `report.md`, `report.html` and the figures as CSV into the folder of the report.

    Args:
        settings: Of the comparison.
        plan: What was trained.

    Raises:
        UserError: If a run is damaged, the titles cannot be read, or the user of the case is none.
    """
    compared = Compared(settings, plan)
    parts = sections(compared)
    hits, gain = compared.headline
    many, seeds = len(settings.systems), settings.seeds
    alone = settings.references[0]
    of = "Systems compared" if many > 1 else alone
    title = f"{of} on {settings.paper or settings.base.data.source}"
    introduction = (
        f"{f'{many} systems' if many > 1 else alone}, {seeds} "
        f"seed{'s' * (seeds > 1)}{' each' * (many > 1)}, trained on {settings.base.data.source}. "
        f"{hits} is the share of users with a test item among the first {compared.cutoff}; {gain} "
        "counts it the more, the higher it stands."
    )
    files = {
        "report.md": _markdown(title, introduction, parts),
        "report.html": html(title, introduction, parts),
    }
    for section in parts:
        files |= {f"{name}.csv": table.to_csv() for name, table in section.files.items()}
    out = Path(settings.out)
    out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_whole(out / name, lambda file, content=content: file.write(content.encode()))


def html(title: str, introduction: str, parts: list[Section]) -> str:
    """The page.

    Args:
        title: Its heading.
        introduction: What was compared.
        parts: Its sections, of which the first one comes before the contents.
    """
    named = [(re.sub(r"\W+", "-", part.title.lower()), part) for part in parts]
    return render(
        "tfrs_timirec.comparison", title=title, introduction=introduction, parts=named, bold=_bold
    )


def _bold(cell: object) -> Markup:
    return Markup(_BOLD.sub(r"<b>\1</b>", str(escape(cell))))


def _markdown(title: str, introduction: str, parts: list[Section]) -> str:
    """The same in Markdown, with the pictures in words."""
    text = [f"# {_plain(title)}", _plain(introduction)]
    for part in parts:
        text += [f"## {_plain(part.title)}", _plain(part.text)]
        text.append("\n".join(f"- {_plain(point)}" for point in part.points))
        for name, table in (part.tables | part.folded).items():
            cells = table.rename(index=_plain, columns=_plain).map(_plain)
            text += [f"### {_plain(name)}", cells.to_markdown(disable_numparse=True)]
        text += [f"Picture: {_plain(picture.alternative)}" for picture in part.pictures]
    return "\n\n".join(block for block in text if block) + "\n"


def _plain(text: object) -> str:
    """A text that means in Markdown what it says, but for its bold figures."""
    escaped = re.sub(r"([\\`*_|<>\[\]])", r"\\\1", str(text))
    return re.sub(r"\\\*\\\*([\d.]+)\\\*\\\*", r"**\1**", escaped)
