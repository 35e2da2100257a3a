"""Pictures of the status page as it looks now, by a browser: `python docs/make_screenshots.py`.

It opens a page that is already running (`make up`) and needs Chromium. The token, if it asks for
one, is read from the terminal.
"""

from __future__ import annotations

import argparse
import getpass
import shutil
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).parent / "pictures"
NAMES = ("chromium", "chromium-browser", "google-chrome")
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
WAIT_MS = 60_000


def settle(page: Page) -> None:
    """Wait until the script has ended and its figures are drawn."""
    page.wait_for_selector(
        "[data-testid=stApp][data-test-script-state=notRunning]", timeout=WAIT_MS
    )
    page.wait_for_function(
        "() => [...document.querySelectorAll('[data-testid=stPlotlyChart]')]"
        ".every(chart => chart.querySelector('.main-svg'))"
    )


def sign_in(page: Page) -> None:
    """Give the page the token that it asks for, if it does."""
    field = page.get_by_label("Token")
    if field.count():
        field.fill(getpass.getpass("Token (scope read): "))
        page.get_by_role("button", name="Sign in").click()
        page.get_by_test_id("stSidebarNav").wait_for(timeout=WAIT_MS)
        settle(page)


def main() -> None:
    """Write a PNG of each asked page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", default=["Overview", "Performance", "Drift"])
    parser.add_argument("--url", default="http://127.0.0.1:8501")
    parser.add_argument("--problem", help="where several are active")
    parser.add_argument("--size", choices=SIZES, default="desktop")
    parser.add_argument("--dark", action="store_true")
    asked = parser.parse_args()
    browser = next((path for name in NAMES if (path := shutil.which(name))), None)
    if browser is None:
        parser.error(f"found no browser; expected one of {', '.join(NAMES)}")
    FOLDER.mkdir(exist_ok=True)
    width, height = SIZES[asked.size]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(
            viewport={"width": 1280, "height": height},
            color_scheme="dark" if asked.dark else "light",
        )
        page.goto(asked.url)
        page.get_by_role("heading", level=1).wait_for(timeout=WAIT_MS)
        settle(page)
        sign_in(page)
        if asked.problem:
            page.get_by_role("combobox", name="Problem").click()
            page.get_by_role("option", name=asked.problem, exact=True).click()
            settle(page)
        for title in asked.pages:
            page.set_viewport_size({"width": 1280, "height": height})
            page.get_by_test_id("stSidebarNav").get_by_role("link", name=title).click()
            page.get_by_role("heading", name=title, exact=True, level=1).wait_for(timeout=WAIT_MS)
            page.set_viewport_size({"width": width, "height": height})
            settle(page)
            path = FOLDER / f"{title.lower()}-{asked.size}{'-dark' if asked.dark else ''}.png"
            page.screenshot(path=path, animations="disabled")
        chromium.close()


if __name__ == "__main__":
    main()
