"""What MkDocs cannot do by itself: it executes the tutorial, and draws the diagrams.

Mermaid's own renderer is JavaScript from another host; mmdr draws the same text while the site is
built, so that its pages ask nobody for anything.
"""

import os
import re
import subprocess
import tempfile
from pathlib import Path

import jupytext
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mmdr import Diagram
from nbclient import NotebookClient
from nbconvert import MarkdownExporter


def on_config(config: MkDocsConfig) -> None:
    """Has fenced blocks of `mermaid` drawn."""
    config.mdx_configs["pymdownx.superfences"] = {
        "custom_fences": [{"name": "mermaid", "class": "diagram", "format": _draw}]
    }


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the executed tutorial, a page of Markdown and its pictures."""
    text, pictures = executed(Path(config.docs_dir, "tutorial.py"))
    files.append(File.generated(config, "tutorial.md", content=text))
    for name, content in pictures.items():
        files.append(File.generated(config, name, content=content))
    return files


def executed(path: Path) -> tuple[str, dict[str, bytes]]:
    """Executes a notebook from top to bottom.

    Args:
        path: The notebook as text, in jupytext's percent format.

    Returns:
        It and what it shows as Markdown, and its pictures by their names.

    Raises:
        nbclient.exceptions.CellExecutionError: If a cell fails.
    """
    notebook = jupytext.read(path)
    # The kernel imports this checkout's package.
    os.environ["PYTHONPATH"] = str(path.parents[1])
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(notebook, resources={"metadata": {"path": folder}})
        client.execute(stderr=subprocess.DEVNULL)
    for cell in notebook.cells:
        if "outputs" in cell:
            # XLA's note on its first compilation comes at any level.
            cell.outputs = [shown for shown in cell.outputs if shown.get("name") != "stderr"]
    text, found = MarkdownExporter().from_notebook_node(notebook, {"unique_key": path.stem})
    # The site has a style of its own for tables.
    text = re.sub(r"<style scoped>.*?</style>\n", "", text, flags=re.DOTALL)
    text = text.replace('<table border="1" class="dataframe">', "<table>")
    return text, found["outputs"]


def _draw(source: str, language: str, css_class: str, *_, **__) -> str:
    return f'<div class="{css_class}">{Diagram(source).svg()}</div>'
