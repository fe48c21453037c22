"""What every page of a report has to be, in a real browser."""

import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
SCREENS = {"wide": WIDE, "phone": PHONE}
TEXT = {"light": "rgb(27, 31, 36)", "dark": "rgb(228, 231, 235)"}

screens = pytest.mark.parametrize(
    ("screen", "scheme"),
    [
        ("wide", "light"),
        ("phone", "dark"),
        pytest.param("wide", "dark", marks=pytest.mark.long),
        pytest.param("phone", "light", marks=pytest.mark.long),
    ],
)


@contextmanager
def chromium():
    """The browser; where there is none, the test is skipped."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="the package playwright is absent"
    )
    if CHROMIUM is None:
        pytest.skip("Chromium is absent: apt-get install chromium")
    with playwright.sync_playwright() as started:
        yield started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)


@contextmanager
def opened(browser, path: Path, screen: str, scheme: str):
    """The page of a file, all of it unfolded, once it stood every check."""
    from axe_playwright_python.sync_playwright import Axe

    size = SCREENS[screen]
    page = browser.new_page(viewport=size, color_scheme=scheme)
    asked, told = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: told.append(message.text))
    page.goto(path.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
    # Pictures may hold bitmaps, in themselves.
    assert not [url for url in asked[1:] if not url.startswith("data:image/png")] and not told
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    for picture in page.get_by_role("img").all():
        assert len(picture.get_attribute("aria-label")) > 20
        box = picture.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= size["width"]
    assert page.locator("img, svg:not([role=img])").count() == 0
    # The letters of a picture are as light or dark as those of the page.
    colours = "e => [getComputedStyle(e).fill, getComputedStyle(document.body).color]"
    letters, text = page.locator("svg text").first.evaluate(colours)
    assert letters == text == TEXT[scheme]
    found = Axe().run(page).response["violations"]
    assert not found, [(v["id"], [node["html"] for node in v["nodes"]]) for v in found]
    yield page
    page.close()
