"""Imports point one way, as docs/architecture.md says."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "tfrs_timirec"
# What each room may import of the others; all may import those of EVERYWHERE.
MAY_IMPORT = {
    "commands": set(),
    "layers": set(),
    "models": {"layers"},
    "config": {"models"},
    "data": {"config"},
    "evaluation": {"data", "models", "retrieval"},
    "pages": set(),
    "audit": {"commands", "config", "data", "evaluation", "pages"},
    "training": {"config", "data", "evaluation", "models"},
    "retrieval": {"data", "models"},
    "answers": {"data", "retrieval"},
    "saving": {"config", "data", "layers"},
    "recommender": {
        *("answers", "config", "data", "evaluation", "export", "models", "retrieval", "saving"),
        "training",
    },
    "export": {"commands", "config", "data", "evaluation", "recommender", "retrieval"},
    "shards": {"answers", "data", "recommender", "saving", "training"},
    "explorer": {
        *("config", "data", "evaluation", "export", "models", "recommender", "training"),
    },
    "comparison": {
        *("config", "data", "evaluation", "models", "pages", "recommender", "training"),
    },
}
# The commands.
ON_TOP = {"audit", "compare", "evaluate", "explore", "recommend", "train"}
EVERYWHERE = {"directions", "errors", "files", "memory", "quiet", "ranges", "tfrs"}


def rooms_imported(file: Path) -> set[str]:
    """The rooms of the package that a file imports from, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tfrs_timirec"):
            _, _, inside = node.module.partition(".")
            found |= {inside.split(".")[0]} if inside else {name.name for name in node.names}
        elif isinstance(node, ast.Import):
            names = [name.name.split(".") for name in node.names]
            found |= {name[1] for name in names if name[0] == "tfrs_timirec" and len(name) > 1}
    return found & {path.stem for path in PACKAGE.iterdir()}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_is_below_it(room):
    folder = PACKAGE / room
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{room}.py"]
    for file in files:
        others = rooms_imported(file) - EVERYWHERE - {room}
        assert others <= MAY_IMPORT[room], file


def test_every_room_has_a_rule():
    parts = [path for path in PACKAGE.iterdir() if path.name[0] not in "_."]
    rooms = {path.stem for path in parts if path.is_dir() or path.suffix == ".py"}
    assert rooms - {"configs"} == {*MAY_IMPORT, *EVERYWHERE, *ON_TOP}


def test_layers_import_no_tensorflow():
    for file in (PACKAGE / "layers").glob("*.py"):
        assert "tensorflow" not in file.read_text(), file
