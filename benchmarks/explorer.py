"""From a key pressed on the explorer's page to the new ranking on the screen.

    python -m benchmarks.explorer runs/beauty-0 [--server URL]

In a real browser, without a window: users are picked, items added to their histories and sliders
moved by the keyboard. A ranking is there when the frame after its last change has been painted.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from jsonargparse import auto_cli
from jsonargparse.typing import PositiveInt
from playwright.sync_api import Page, sync_playwright
from tabulate import tabulate

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
# Notes when a key went down, and when the page has painted what comes of it.
WATCH = """
() => {
  let pressed = 0;
  window.taken = [];
  addEventListener("keydown", (event) => { pressed = event.timeStamp; }, true);
  const main = document.querySelector("main");
  new MutationObserver(() => {
    if (main.ariaBusy !== "false") return;
    const began = pressed;
    requestAnimationFrame(() => setTimeout(() => {
      const asked = performance.getEntriesByType("resource")
        .filter((entry) => entry.name.endsWith(":predict") && entry.startTime >= began);
      const end = Math.max(...asked.map((entry) => entry.responseEnd));
      const start = Math.min(...asked.map((entry) => entry.startTime));
      const done = performance.now();
      window.taken.push([done - began, start - began, end - start, done - end]);
      performance.clearResourceTimings();
    }));
  }).observe(main, { attributes: true, attributeFilter: ["aria-busy"] });
}
"""
PARTS = ("all", "to the request", "the requests", "to the screen")


def main(model: Path, server: str | None = None, times: PositiveInt = 100) -> None:
    """Measures, and prints a table in milliseconds.

    Args:
        model: A run folder, or that of a saved recommender.
        server: The URL of a server of TF-Serving's REST; None starts one.
        times: How often each key is pressed.
    """
    command = [sys.executable, "-m", "tfrs_timirec.explore", str(model), "--no_browser"]
    command += ["--server", server] if server else []
    explorer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        lines = iter(explorer.stdout.readline, "")
        address = next(found[0] for line in lines if (found := re.search(r"http://\S+/", line)))
        with sync_playwright() as playwright:
            chromium = shutil.which("chromium") or shutil.which("google-chrome")
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            # The page's own policy forbids what waits for a condition on it.
            page = browser.new_page(bypass_csp=True)
            page.goto(address)
            page.locator(".ranking li").first.wait_for()
            page.evaluate(WATCH)
            measured = {
                "a slider moved": sliders(page, times),
                "an item added": items(page, times),
            }
            browser.close()
    finally:
        explorer.terminate()
        explorer.wait()
    rows = [
        [what, part, *np.percentile(taken[:, column], [50, 95, 100])]
        for what, taken in measured.items()
        for column, part in enumerate(PARTS)
    ]
    print(tabulate(rows, ["", "ms", "p50", "p95", "most"], floatfmt=".1f", tablefmt="github"))


def sliders(page: Page, times: int) -> np.ndarray:
    """float [times, PARTS] of keys pressed on the first interest's slider, user after user."""
    return _measured(page, times, "slider", lambda slider, turn: slider.press(f"Arrow{turn}"))


def items(page: Page, times: int) -> np.ndarray:
    """float [times, PARTS] of items added to histories, from Enter on."""

    def add(field, turn):
        field.press("ArrowDown")
        field.press("Enter")

    return _measured(page, times, "combobox", add)


def _measured(page: Page, times: int, role: str, press) -> np.ndarray:
    name = {"slider": "Weight of interest A", "combobox": "Add an item"}[role]
    taken = []
    # The first few are the warm-up.
    for number in range(times + 10):
        if number % 10 == 0:
            page.get_by_role("button", name="Any user").click()
            page.wait_for_timeout(300)
        page.evaluate("window.taken.length = 0")
        press(page.get_by_role(role, name=name), "Right" if number % 2 else "Left")
        page.wait_for_function("window.taken.length > 0")
        taken.append(page.evaluate("window.taken.at(-1)"))
    return np.array(taken[10:])


if __name__ == "__main__":
    auto_cli(main, as_positional=True)
