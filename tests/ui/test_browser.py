"""Every page in a real browser: signed in and not, empty and full, desktop and phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.factories import small_settings
from tests.ui.browser import (
    DESKTOP,
    LOCAL,
    PHONE,
    WAIT_MS,
    Site,
    find_browser,
    overflow,
    settled,
    shoot,
    sites,
)
from tests.ui.home import token_of
from ui.frame import PAGES

BROWSER = find_browser()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(
        BROWSER is None,
        reason="no Chromium here: install chromium or set PERENNIAL_TEST_BROWSER to its path",
    ),
]


@pytest.fixture(scope="module")
def running(past: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Site]]:
    """The status pages of a home with a past, with its API, and of an empty one."""
    folder = tmp_path_factory.mktemp("sites")
    shutil.copytree(past, folder / "full")
    (folder / "empty").mkdir()
    homes = {name: small_settings(folder / name) for name in ("full", "empty")}
    token_of(homes["full"], "read")  # so that nobody sees it without one
    with sites(homes, with_api="full") as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A fresh window, dark or light; whatever it asks elsewhere than here fails the test."""
    scheme = getattr(request, "param", "light")
    context = browser.new_context(viewport=DESKTOP, color_scheme=scheme, locale="en-GB")
    window = context.new_page()
    elsewhere: list[str] = []
    window.on(
        "request",
        lambda one: None if one.url.startswith(LOCAL) else elsewhere.append(one.url),
    )
    yield window
    context.close()
    assert elsewhere == []


def sign_in(page: Page, site: Site, *scopes: str) -> None:
    page.goto(site.url)
    page.get_by_label("Token").fill(token_of(site.settings, *scopes))
    page.get_by_role("button", name="Sign in").click()
    settled(page, "Overview")


def go(page: Page, title: str) -> None:
    page.get_by_test_id("stSidebarNav").get_by_role("link", name=title).click()
    settled(page, title)


def walk(page: Page, prefix: str) -> None:
    """Every page at both widths: no error, nothing wider than the window, a picture kept."""
    for title in PAGES:
        page.set_viewport_size(DESKTOP)
        go(page, title)
        assert page.get_by_test_id("stException").count() == 0, title
        shoot(page, f"{prefix}-{title.lower()}-desktop", DESKTOP)
        page.set_viewport_size(PHONE)
        page.wait_for_function("() => window.innerWidth < 400")
        settled(page, title)
        assert overflow(page) <= 0, f"{title} is wider than a phone"
        shoot(page, f"{prefix}-{title.lower()}-phone", PHONE)


@pytest.mark.parametrize("page", ["light"], indirect=True)
def test_every_page_with_a_past(page: Page, running: dict[str, Site]) -> None:
    sign_in(page, running["full"], "read", "predict", "admin")
    walk(page, "full")


@pytest.mark.parametrize("page", ["dark"], indirect=True)
def test_every_page_of_an_empty_home_in_the_dark(page: Page, running: dict[str, Site]) -> None:
    page.goto(running["empty"].url)
    settled(page, "Overview")
    colour = page.evaluate(
        "() => getComputedStyle(document.querySelector('.stApp')).backgroundColor"
    )
    assert colour == "rgb(18, 23, 29)"
    walk(page, "empty")


def test_nothing_is_shown_to_who_is_not_signed_in(page: Page, running: dict[str, Site]) -> None:
    page.goto(f"{running['full'].url}/releases")
    settled(page, "Perennial")
    assert page.get_by_label("Token").is_visible()
    assert page.get_by_text("Ledger").count() == 0
    assert page.get_by_test_id("stSidebarNav").count() == 0
    shoot(page, "sign-in-desktop", DESKTOP)


def test_a_click_on_a_cell_opens_its_distributions(page: Page, running: dict[str, Site]) -> None:
    sign_in(page, running["full"], "read")
    go(page, "Drift")
    assert page.get_by_label("Check").input_value() != ""
    before = page.get_by_label("Feature").input_value()
    cells = page.locator(".st-key-heat .scatterlayer .point")
    cells.nth(1).click(force=True)  # the second oldest check of the feature that drifted least
    page.wait_for_function(
        "(before) => document.querySelector('input[aria-label*=Feature]')?.value !== before",
        arg=before,
        timeout=WAIT_MS,
    )
    settled(page, "Drift")
    assert page.get_by_label("Feature").input_value() == "plan"
    assert page.locator(".st-key-cell").get_by_text("reference").first.is_visible()


def test_a_prediction_is_tried_and_explained_by_the_real_api(
    page: Page, running: dict[str, Site]
) -> None:
    sign_in(page, running["full"], "read", "predict")
    go(page, "Try")
    page.get_by_role("button", name="Predict").click()
    page.get_by_role("heading", name="Why").wait_for(timeout=WAIT_MS)
    settled(page, "Try")
    assert page.get_by_text("contribution", exact=False).count() > 0
    shoot(page, "try-answered-desktop", DESKTOP)
