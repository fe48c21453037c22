"""README and docs: each block of code is run as it stands there, and the site is built."""

import contextlib
import functools
import io
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pandas as pd
import pytest

from tests.processes import ROOT, Popen, run
from tfrs_timirec import Recommender, recommender

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"(?:<!-- ([^\n]+) -->\n)?^( *)```(\w*)\n(.*?)^\2```$", re.DOTALL | re.MULTILINE)
NOT_RUN, PARSED, PRINTED = "not run here: ", "parsed here, not run: ", "printed above"
# Of recommenders that leave these to their defaults.
TINY = {
    "embedding_size": 16,
    "history_length": 3,
    "initial_stddev": 0.1,
    "batch_size": 1024,
    "max_epochs": 1,
    "negatives": 20,
    "core": 1,
}
TINY_FLAGS = ["--model.embedding_size=8", "--model.history_length=2", "--training.max_epochs=1"]
SERVE = "timirec serve models --port 8500"
REST = "http://127.0.0.1:8501"
# Commands whose modules are started without importing TensorFlow anew.
MODULES = {"timirec": "tfrs_timirec", "saved_model_cli": "tensorflow.python.tools.saved_model_cli"}

# What comes after the README's layers.
USE = """
import numpy as np
histories = np.random.default_rng(0).integers(0, 10_000, (64, 20)).astype("int32")
candidates = np.arange(64, dtype="int32")
model.fit([histories, candidates], np.arange(64) % 2, verbose=0)
expected = model.predict([histories, candidates], verbose=0)
model.save("model.keras")
found = keras.models.load_model("model.keras").predict([histories, candidates], verbose=0)
np.testing.assert_array_equal(found, expected)
assert np.ptp(expected) > 0
"""


class Block(NamedTuple):
    """A block of code and the comment above it."""

    line: int
    mark: str
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """All blocks of a page."""
    text = page.read_text()
    return [
        Block(text.count("\n", 0, found.start(4)), found[1] or "", *found.group(3, 4))
        for found in FENCE.finditer(text)
    ]


def table(users: int, items: int, prefix: str, columns: list[str]) -> pd.DataFrame:
    """A log of users who walk through the items in small steps."""
    rng = np.random.default_rng(0)
    rows = [
        (f"{prefix[0]}-{user}", f"{prefix[1:]}-{item}", time)
        for user in range(users)
        for time, item in enumerate((rng.integers(items) + rng.integers(1, 4, 8).cumsum()) % items)
    ]
    return pd.DataFrame(rows, columns=columns)


class Workplace:
    """A folder in which commands are run, each once, and what the pages take for granted.

    Args:
        folder: With a trained run, its models, and logs.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.outputs: dict[str, str] = {}
        self.processes: list[Popen] = []
        self.addresses: dict[bool, str] = {}
        self.rest = ""

    def shell(self, text: str, only_parsed: bool) -> str:
        """Runs the lines of a block, and returns what they print."""
        printed, script = "", ""
        if REST in text:
            self.address()
            text = text.replace(REST, self.rest)
        for line in text.replace("\\\n", "").splitlines():
            if line.split(" ")[0] in MODULES:
                printed += self._shell(script) + self.command(line, only_parsed)
                script = ""
            else:
                script += line + "\n"
        return printed + self._shell(script)

    def _shell(self, script: str) -> str:
        if not script.strip():
            return ""
        command = ["bash", "-euo", "pipefail", "-c", script]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def command(self, line: str, only_parsed: bool = False) -> str:
        """Runs a command in which TensorFlow is used, and returns what it prints."""
        program, *words = shlex.split(line, comments=True)
        if shlex.join(words) in self.outputs:
            return self.outputs[shlex.join(words)]
        command = ["-m", MODULES[program], *words]
        secure = bool({"--certificate", "--tls.authorities"} & set(words))
        if words[0] == "serve":
            printed = self._serve(command, secure)
        else:
            if only_parsed:
                command.append("--print_config")
            elif words[0] == "train" and not {"--help", "--print_config"} & set(words):
                command += TINY_FLAGS
            elif words[0] == "ask":
                command += ["--address", self.address(secure)]
            done = run(command, cwd=self.folder)
            assert done.returncode == 0, f"{line}\n{done.stderr}"
            printed = done.stdout
        self.outputs[shlex.join(words)] = printed
        return printed

    def _serve(self, command: list[str], secure: bool) -> str:
        process = Popen(
            [*command, "--port=0", "--rest_port=0"],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        for line in process.stderr:
            if found := re.search(r"REST on (http://\S+)$", line):
                self.rest = found[1]
            if found := re.search(r"Serving .* on (\S+)$", line):
                self.addresses[secure] = found[1]
                return line
        raise AssertionError("The server ended before it served.")

    def address(self, secure: bool = False) -> str:
        """Where the server is; the one without TLS is started if no page has done it."""
        if not secure:
            self.command(SERVE)
        return self.addresses[secure]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, eagerly):
    """Where the blocks are run."""
    folder = tmp_path_factory.mktemp("docs")
    log = table(300, 1_200, "uitem", ["user_id", "item_id", "timestamp"])
    log.to_csv(folder / "log.csv", index=False)
    (folder / "runs").mkdir()
    with eagerly():
        model = Recommender(**TINY, folder=str(folder / "data"))
        model.fit(str(folder / "log.csv"), run=folder / "runs" / "synthetic-0", silent=True)
    (folder / "logs").mkdir()
    walk = table(100, 120, "csku", ["customer", "sku", "bought_at"])
    walk.to_parquet(folder / "logs" / "all.parquet")
    work = Workplace(folder)
    work.command("timirec export runs/synthetic-0 --out models")
    yield work
    for process in work.processes:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def given() -> dict:
    """The names that the pages use for data of their readers."""
    log = table(100, 120, "csku", ["customer", "sku", "bought_at"])
    later = pd.DataFrame([("c-1", "sku-new", 20)], columns=log.columns)
    return {
        "log": log,
        "newer_log": pd.concat([log, later], ignore_index=True),
        "in_stock": ["sku-2", "sku-3", "sku-8"],
        "recalled": ["sku-3"],
    }


@pytest.fixture(scope="module")
def quickly(eagerly):
    """Compiles nothing, and has recommenders trained with small settings, equal ones once."""
    named, states = recommender.settings_named, {}

    def eager(method):
        @functools.wraps(method)
        def call(self, *given, **named):
            with eagerly():
                return method(self, *given, **named)

        return call

    def once(method):
        def call(self, log, **given):
            key = repr((self.settings, id(log), sorted(given)))
            if key not in states:
                method(self, log, **given)
                states[key] = dict(self.__dict__)
            self.__dict__ |= states[key]
            return self

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recommender, "settings_named", lambda name, own: named(name, TINY | own))
        for name in ("fit", "update", "refit", "evaluate"):
            patch.setattr(Recommender, name, eager(getattr(Recommender, name)))
        for name in ("fit", "predict"):
            patch.setattr(keras.Model, name, eager(getattr(keras.Model, name)))
        patch.setattr(Recommender, "fit", once(Recommender.fit))
        yield


@pytest.mark.long
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_block_runs_or_says_why_not(page, workplace, given, quickly, monkeypatch):
    monkeypatch.chdir(workplace.folder)
    namespace, printed = dict(given), ""
    for line, mark, language, text in blocks(page):
        where = f"{page.name}, line {line}"
        if mark.startswith(NOT_RUN) or language == "mermaid":
            continue
        if mark == PRINTED:
            assert text.strip() in printed, where
        elif language == "sh":
            printed = workplace.shell(text, mark.startswith(PARSED))
        else:
            assert language == "python", f"{where}: say above the block why it is not run"
            if "127.0.0.1:8500" in text:
                text = text.replace("127.0.0.1:8500", workplace.address())
                # A busy machine may take longer to answer.
                text = text.replace("timeout=1.0", "timeout=60")
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                exec(compile("\n" * line + text, page, "exec"), namespace)
            printed = output.getvalue()
    if page.name == "README.md":
        exec(USE, namespace)


@pytest.mark.site
def test_the_site_asks_no_other_host():
    site = ROOT / "site"
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(PAGES)
    for page in pages:
        loads = r'<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)="?(?:https?:)?//[^>]*'
        assert not re.findall(loads, page.read_text()), page
        assert 'class="mermaid"' not in page.read_text(), page
    for sheet in site.rglob("*.css"):
        assert not re.findall(r"(?:@import|url\()[^;)]*//[^;)]*", sheet.read_text()), sheet
    tutorial = (site / "tutorial" / "index.html").read_text()
    assert tutorial.count("<img") == 2 and "Traceback" not in tutorial
    # A loaded recommender recommends as the one that was saved.
    assert "<code>True" in tutorial
    assert "<svg" in (site / "architecture" / "index.html").read_text()
    assert os.path.getsize(site / "beauty.html") > 100_000
