"""The page in a real browser, over a real server's REST."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn

from tests.browser import CHROMIUM, PHONE, WIDE, chromium
from tests.processes import Popen
from tfrs_timirec.explorer.kept import DATA, MODELS
from tfrs_timirec.explorer.site import model_url, site

pytest.importorskip("playwright.sync_api", reason="the package playwright is absent")
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

if CHROMIUM is None:
    pytest.skip("Chromium is absent: apt-get install chromium", allow_module_level=True)
# Of a machine with other work.
expect.set_options(timeout=30_000)
screens = pytest.mark.parametrize(
    ("scheme", "size"),
    [
        pytest.param("light", WIDE, id="light, wide"),
        pytest.param("dark", PHONE, id="dark, phone"),
        pytest.param("dark", WIDE, id="dark, wide", marks=pytest.mark.long),
        pytest.param("light", PHONE, id="light, phone", marks=pytest.mark.long),
    ],
)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


@contextmanager
def alone(version: Path):
    """The URL of a server that is nothing but TF-Serving's REST protocol, of one model."""
    port = free_port()
    command = [Path(__file__).with_name("serve_alone.py"), version, port]
    with Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "serving\n"
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


@contextmanager
def explorer(explored, *flags):
    """Where the explorer shows its page, and its process."""
    command = ["-m", "tfrs_timirec.explore", explored.model, "--titles", explored.titles.titles]
    command += ["--categories_column=kind", "--no_browser", *flags]
    process = Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        yield re.search(r"http://127\.0\.0\.1:\d+/", line)[0], process
    finally:
        process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130


@pytest.fixture(scope="module")
def running(explored):
    with explorer(explored) as running:
        yield running


@pytest.fixture(scope="module")
def address(running):
    return running[0]


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def show(browser, address):
    """Opens the page; in the end nothing may have gone wrong there, nor another host be asked."""
    opened = []

    def show(trouble: bool = False, routes: dict = {}, **settings) -> Page:  # noqa: B006
        context = browser.new_context(**{"viewport": WIDE} | settings)
        page = context.new_page()
        for url, answer in routes.items():
            page.route(url, answer)
        told: list[str] = []
        page.on("console", lambda m: told.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("request", lambda r: r.url.startswith(address) or told.append(r.url))
        opened.append((context, told, trouble))
        page.goto(address)
        expect(ranking(page).first).to_be_visible()
        return page

    yield show
    for context, told, trouble in opened:
        context.close()
        assert trouble or not told


def ranking(page: Page):
    return page.get_by_role("list", name="By the predicted interests").get_by_role("listitem")


def titles_of(page: Page) -> list[str]:
    return page.locator(".ranking:not(.best) .title").all_inner_texts()


def choose(page: Page, label: str, text: str) -> None:
    """Searches and takes the first match, with the keyboard alone."""
    field = page.get_by_role("combobox", name=label)
    field.fill(text)
    field.press("Enter")


def settled(page: Page) -> None:
    expect(page.locator("main")).to_have_attribute("aria-busy", "false")


def test_a_user_is_found_and_recommended_to_as_the_library_does(show, explored):
    page = show()
    choose(page, "Users", "u17")
    expect(page.get_by_role("heading", name="User u17", exact=True)).to_be_visible()
    store, recommender = explored.recommender.sequences, explored.recommender
    user = store.user_ids.to_pylist().index("u17")
    items = store.items[store.offsets[user] : store.offsets[user + 1]]
    *history, target = [store.item_ids[int(item) - 1].as_py() for item in items]
    told = recommender.explain(histories=[history], k=10)
    names = {f"i{i}": f"{('Garden', 'Kitchen', 'Travel')[i % 3]} thing {i}" for i in range(58)}
    expected = [names.get(item, item) for item in told.recommendations["item"]]
    expect(page.locator(".ranking:not(.best) .place")).to_have_count(10)
    settled(page)
    shown = [title.removesuffix(" came next") for title in titles_of(page)]
    assert shown == expected
    because = page.locator(".ranking:not(.best) .reason span a").all_inner_texts()
    assert because == [names.get(item, item) for item in told.recommendations["because"]]
    weights = page.locator(".cards .figure").all_inner_texts()
    assert weights == [f"{round(100 * w)} %" for w in told.interests["weight"]]
    expect(page.get_by_text("What came next:")).to_contain_text(names.get(target, target))


def test_the_best_match_beside_it_is_that_of_all_interests(show, explored):
    page = show()
    choose(page, "Users", "u17")
    settled(page)
    store, recommender = explored.recommender.sequences, explored.recommender
    user = store.user_ids.to_pylist().index("u17")
    items = store.items[store.offsets[user] : store.offsets[user + 1] - 1]
    length = recommender.settings.model.history_length
    interests = recommender.system.represent({"history": items[None, -length:]})["interests"]
    scores = (interests[0].numpy() @ recommender.item_vectors().T).max(axis=0)
    scores[items - 1] = float("-inf")
    best = [store.item_ids[int(place)].as_py() for place in (-scores).argsort()[:10]]
    shown = page.locator(".ranking.best .title").all_inner_texts()
    numbers = [title.removesuffix(" came next").split()[-1].removeprefix("i") for title in shown]
    assert [f"i{number}" for number in numbers] == best
    ours = set(titles_of(page))
    only = page.locator(".ranking.best li").all()
    for title, row in zip(shown, only, strict=True):
        assert ("only here" in row.inner_text()) == (title not in ours)


def test_a_history_is_built_with_the_keyboard_and_the_page_follows(show):
    page = show()
    page.get_by_role("button", name="Start empty").press("Enter")
    expect(page.get_by_role("heading", name="Most popular")).to_be_visible()
    for number in (3, 6, 9):
        choose(page, "Add an item", f"garden thing {number}")
    history = page.locator(".history .items .title")
    expect(history).to_have_text(["Garden thing 9", "Garden thing 6", "Garden thing 3"])
    settled(page)
    before = titles_of(page)
    # Mostly of the kind that was chosen, which names an interest too.
    assert sum(title.startswith("Garden") for title in before) >= 6
    expect(page.locator(".cards h3").filter(has_text=re.compile("Garden")).first).to_be_visible()
    page.get_by_role("button", name="Make Garden thing 3 newer").press("Enter")
    expect(history).to_have_text(["Garden thing 9", "Garden thing 3", "Garden thing 6"])
    page.get_by_role("button", name="Remove Garden thing 9").press("Enter")
    expect(history).to_have_text(["Garden thing 3", "Garden thing 6"])
    settled(page)
    assert titles_of(page) != before


def test_sliders_and_categories_move_the_ranking(show):
    page = show()
    choose(page, "Users", "u17")
    settled(page)
    before, weights = titles_of(page), page.locator(".cards .figure").all_inner_texts()
    slider = page.get_by_role("slider", name="Weight of interest A")
    slider.focus()
    slider.press("Home")
    expect(page.locator(".cards .figure").first).to_have_text("0 %")
    settled(page)
    assert titles_of(page) != before
    page.get_by_role("button", name="As predicted").click()
    expect(page.locator(".cards .figure")).to_have_text(weights)
    settled(page)
    assert titles_of(page) == before
    with page.expect_request(lambda asked: '"diverse"' in (asked.post_data or "")):
        page.get_by_role("slider", name="Diversity of categories").press("End")
    settled(page)
    diverse = titles_of(page)
    assert len(diverse) == 10 and diverse != before
    assert len({t.split()[0] for t in diverse}) >= len({t.split()[0] for t in before})
    page.get_by_role("slider", name="Diversity of categories").press("Home")
    choose(page, "Only from categories", "trav")
    expect(page.locator(".ranking:not(.best) .title").first).to_contain_text("Travel")
    settled(page)
    assert all(title.startswith("Travel") for title in titles_of(page))
    page.get_by_role("button", name="Not only Travel").press("Enter")
    page.get_by_role("slider", name="Items in each list").press("ArrowLeft")
    expect(page.locator(".ranking:not(.best) .place")).to_have_count(5)


def test_a_recommendation_leads_to_its_reason(show):
    page = show()
    reason = page.locator(".ranking:not(.best) .reason").first
    expect(reason).to_contain_text("because of")
    interest, item = reason.get_by_role("link").all()
    name = item.inner_text()
    letter = interest.inner_text()[0]
    interest.press("Enter")
    card = page.locator("article:target")
    expect(card.locator(".badge")).to_have_text(letter)
    expect(card).to_be_in_viewport()
    item.press("Enter")
    expect(page.locator("li:target .title")).to_have_text(name)


def test_the_map_tells_and_takes_the_item_under_the_pointer(show):
    page = show()
    page.get_by_label("PCA").check()
    settled(page)
    assert page.locator(".history h2").inner_text().startswith("User u")
    canvas = page.get_by_role("img", name=re.compile("60 items by PCA"))
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    tooltip = page.locator(".tooltip")
    places = [(x, y) for y in range(30, int(box["height"]), 12) for x in range(30, 600, 12)]
    for x, y in places:
        page.mouse.move(box["x"] + x, box["y"] + y)
        if tooltip.is_visible():
            break
    name = tooltip.inner_text()
    page.mouse.down()
    page.mouse.up()
    expect(page.locator(".history .items .title").first).to_have_text(name)
    # What that user went on to is not what came next to this history.
    expect(page.locator(".history h2")).to_have_text("A user of yours")


@screens
def test_nothing_is_wider_than_the_screen_and_axe_finds_nothing_serious(show, scheme, size):
    page = show(color_scheme=scheme, viewport=size)
    settled(page)
    page.get_by_text("Metrics of the run").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(17, 20, 24)"
    assert dark == (scheme == "dark")
    found = Axe().run(page).response["violations"]
    serious = [v for v in found if v["impact"] in ("serious", "critical")]
    assert not serious, [(v["id"], [node["html"] for node in v["nodes"]]) for v in serious]


@contextmanager
def page_of(browser, kept: Path):
    """The page of another model."""
    with alone(kept / MODELS / "exact" / "1") as url, socket.socket() as listening:
        app = site(kept / DATA, "exact", model_url(url, "exact"))
        running = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=running.run, args=[[listening]], daemon=True)
        thread.start()
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{listening.getsockname()[1]}/")
        yield page
        page.close()
        running.should_exit = True
        thread.join()


@pytest.mark.long
def test_one_interest_is_shown_as_one(browser, of_one_interest):
    with page_of(browser, of_one_interest) as page:
        expect(page.get_by_role("heading", name="One interest")).to_be_visible()
        expect(page.get_by_role("list", name="Ranking").get_by_role("listitem")).to_have_count(10)
        expect(page.get_by_role("slider", name="Weight")).to_have_count(0)
        expect(page.get_by_text("for a map")).to_be_visible()


@pytest.mark.long
def test_a_history_that_is_made_up_has_times(browser, of_times):
    with page_of(browser, of_times) as page:
        page.get_by_role("button", name="Start empty").click()
        for item in ("i10", "i20", "i30"):
            choose(page, "Add an item", item)
        settled(page)
        expect(page.get_by_role("alert")).to_have_text("")
        expect(page.locator(".history .items .title")).to_have_count(3)
        expect(page.get_by_role("list", name="Ranking").get_by_role("listitem")).to_have_count(10)


@pytest.mark.parametrize(
    ("file", "change", "told"),
    [
        (
            "about",
            lambda about: about["probe"]["weights"].reverse(),
            "has another model",
        ),
        ("about", lambda about: about.update(format=0), "another version's"),
        ("items", None, "data/items.json is missing"),
    ],
)
def test_what_does_not_fit_is_told(browser, address, explored, file, change, told):
    page = browser.new_page()
    content = json.loads((explored.folder / DATA / f"{file}.json").read_text())
    if change:
        change(content)
        page.route(f"**/data/{file}.json", lambda route: route.fulfill(json=content))
    else:
        page.route(f"**/data/{file}.json", lambda route: route.fulfill(status=404))
    page.goto(address)
    expect(page.get_by_role("alert")).to_contain_text(told)
    page.close()


def test_what_is_wrong_with_the_titles_is_told_and_the_page_works_without(show, explored):
    def without(route):
        about = json.loads((explored.folder / DATA / "about.json").read_text())
        route.fulfill(json=about | {"trouble": "The titles t.csv have no column name."})

    def bare(route):
        items = json.loads((explored.folder / DATA / "items.json").read_text())
        route.fulfill(json={name: items[name] for name in ("ids", "counts")})

    page = show(routes={"**/data/about.json": without, "**/data/items.json": bare})
    expect(page.get_by_text("The titles t.csv have no column name.")).to_be_visible()
    choose(page, "Add an item", "i9")
    settled(page)
    assert page.locator(".history .items .title").first.inner_text() == "i9"
    assert all(re.fullmatch(r"i\d+", title.split()[0]) for title in titles_of(page))


def test_another_site_cannot_read_the_page_by_a_name_of_its_own(address):
    for path in ("", "data/users.json", "v1/models/exact"):
        request = urllib.request.Request(address + path, headers={"Host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError, match="400"):
            urllib.request.urlopen(request)
    with urllib.request.urlopen(address) as page:
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]


@pytest.mark.long
def test_a_server_that_ends_is_told_and_the_page_goes_on_when_it_is_back(show, running):
    page, (_, process) = show(trouble=True), running
    children = Path(f"/proc/{process.pid}/task").glob("*/children")
    (server,) = "".join(path.read_text() for path in children).split()
    os.kill(int(server), signal.SIGKILL)
    choose(page, "Add an item", "garden thing 9")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The server of the model does not answer")
    assert "ended, and is started again" in process.stdout.readline()
    expect(alert).to_be_empty(timeout=180_000)
    expect(page.locator(".history .items .title").first).to_have_text("Garden thing 9")
    settled(page)
    expect(page.locator(".ranking:not(.best) .reason").first).to_contain_text("because of")


@pytest.mark.long
def test_a_server_that_is_nothing_but_its_protocol_will_do(browser, explored):
    """One that needs each input named, and has no model but this one."""
    version = explored.folder / MODELS / "exact" / "1"
    with alone(version) as url, explorer(explored, "--server", url) as (address, _):
        page = browser.new_page()
        page.goto(address)
        choose(page, "Users", "u17")
        settled(page)
        expect(page.locator(".state")).to_have_text("Server: version 1")
        before = titles_of(page)
        page.get_by_role("slider", name="Weight of interest A").press("Home")
        settled(page)
        assert titles_of(page) != before
        page.get_by_role("slider", name="Diversity of categories").press("End")
        settled(page)
        page.get_by_role("button", name="Start empty").press("Enter")
        expect(page.get_by_role("heading", name="Most popular")).to_be_visible()
        settled(page)
        expect(page.locator(".ranking .place")).to_have_count(10)
        expect(page.get_by_role("alert")).to_be_empty()
        page.close()
