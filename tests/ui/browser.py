"""A real browser, where there is one, and the servers whose pages it opens."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page
from playwright.sync_api import TimeoutError as BrowserTimeoutError

from operate.processes import Processes, free_port
from operate.stack_services import api_service, ui_service, ui_url
from settings import CHECKOUT, Settings

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SHOTS = CHECKOUT / ".screenshots"
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
LOCAL = ("http://127.0.0.1", "data:", "blob:")
WAIT_MS = 60_000


def find_browser() -> str | None:
    """The program of `PERENNIAL_TEST_BROWSER`, or a Chromium that is installed; None without."""
    named = os.environ.get("PERENNIAL_TEST_BROWSER")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass
class Site:
    """A running status page."""

    settings: Settings
    url: str


@contextmanager
def opened(settings: Settings) -> Iterator[Site]:
    """The status page and the API of a home."""
    settings = settings.model_copy(update={"ui_port": free_port(), "api_port": free_port()})
    with Processes(settings.home / "logs") as running:
        running.start(ui_service(settings))
        running.start(api_service(settings))
        running.wait_ready()
        yield Site(settings, ui_url(settings))


def settled(page: Page, title: str) -> None:
    """Wait until the script has ended and its title stands there, and pictures are drawn."""
    page.get_by_role("heading", name=title, exact=True, level=1).wait_for(timeout=WAIT_MS)
    page.wait_for_selector(
        "[data-testid=stApp][data-test-script-state=notRunning]", timeout=WAIT_MS
    )
    page.wait_for_function(
        "() => [...document.querySelectorAll('[data-testid=stPlotlyChart]')]"
        ".every(chart => chart.querySelector('.main-svg'))"
        " && !document.querySelector('[data-testid=stSkeleton]')",
        timeout=WAIT_MS,
    )


FITS = (
    "() => { const main = document.querySelector('[data-testid=stMain]');"
    " return main.scrollWidth <= main.clientWidth"
    " && document.documentElement.scrollWidth <= window.innerWidth; }"
)


def assert_fits(page: Page, title: str) -> None:
    """Nothing is wider than the window, once tables have measured themselves anew."""
    try:
        page.wait_for_function(FITS, timeout=WAIT_MS / 3)
    except BrowserTimeoutError as error:
        raise AssertionError(f"{title} is wider than its window") from error


def shoot(page: Page, name: str, size: dict[str, int]) -> Path:
    """The whole page as a picture in the folder that CI keeps."""
    SHOTS.mkdir(exist_ok=True)
    height = page.evaluate("() => document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({**size, "height": min(max(size["height"], int(height)), 6000)})
    path = SHOTS / f"{name}.png"
    page.screenshot(path=path, animations="disabled")
    return path
