"""The command in a process of its own, and its page in a real browser."""

import json

import pytest

from tests.browser import chromium, opened, screens
from tests.processes import run
from tests.test_commands import timirec

# Ties, repeats, a duplicate and a user who comes late.
LOG = """customer,sku,day
ann,a,2024-01-01
ann,b,2024-01-02
ann,c,2024-03-03
ann,d,2024-03-03
bob,b,2024-01-01
bob,c,2024-01-02
bob,c,2024-01-02
bob,a,2024-02-01
eve,a,2024-03-04
eve,b,2024-03-05
eve,c,2024-03-06
"""
COLUMNS = ["--data.user_column=customer", "--data.item_column=sku", "--data.time_column=day"]


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """The folder of an audit, and what the command printed, where TensorFlow is not installed."""
    folder = tmp_path_factory.mktemp("audit")
    (folder / "log.csv").write_text(LOG)
    (folder / "shop.yaml").write_text(
        f"data: {{source: nowhere.csv, folder: {folder / 'data'}, core: 1}}\n"
        "model: {system: sasrec}\nevaluation: {cutoffs: [3]}\n"
    )
    config, out = f"--config={folder / 'shop.yaml'}", folder / "out"
    done = timirec("audit", str(folder / "log.csv"), config, *COLUMNS, f"--out={out}")
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return out, done.stdout


def test_the_command_tells_and_writes_the_same(audited):
    out, printed = audited
    found = json.loads((out / "audit.json").read_text())
    assert found["log"]["interactions"] == 11 and found["log"]["users"] == 3
    assert found["log"]["duplicates"] == pytest.approx(1 / 11)
    # Ann's last two are of one day.
    assert found["times"]["test_ties"] == pytest.approx(1 / 3)
    assert found["times"]["step"] == 86_400
    page = (out / "index.html").read_text()
    for sentence in found["advice"]:
        assert sentence in printed and sentence.replace("'", "&#39;") in page
    for shown in ("2024-01-01 to 2024-03-06", "11 interactions of 3 users", "33.3 %"):
        assert shown in printed and shown in page
    assert sorted(path.name for path in out.iterdir()) == ["audit.json", "index.html"]


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@screens
def test_the_page_in_both_lights_on_both_screens(audited, browser, scheme, screen):
    with opened(browser, audited[0] / "index.html", screen, scheme) as page:
        assert page.get_by_role("img").count() == 4


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["absent.csv"], "error: No file is at absent.csv: set data.source to a file"),
        (["log.csv"], "has no column user_id: set data.user_column"),
        (["log.csv", "--config=no"], "error: There is no configuration no: give a YAML file"),
        (["log.csv", *COLUMNS, "--data.core=9"], "lower data.core or data.min_rating"),
        (["log.csv", *COLUMNS, "--out=log.csv/out"], "log.csv"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(audited, arguments, told):
    folder = audited[0].parent
    arguments = [word.replace("log.csv", str(folder / "log.csv")) for word in arguments]
    done = run(["-m", "tfrs_timirec.audit", f"--out={folder / 'no'}", *arguments])
    assert done.returncode == 2 and not done.stdout
    assert told in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert not (folder / "no").exists()
