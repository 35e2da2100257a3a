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
    assert_fits,
    find_browser,
    opened,
    settled,
    shoot,
)
from tests.ui.home import token_of
from ui.frame import PAGES

BROWSER = find_browser()
SIZES = {"desktop": DESKTOP, "phone": PHONE}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(
        BROWSER is None,
        reason="no Chromium here: install chromium or set PERENNIAL_TEST_BROWSER to its path",
    ),
]


@pytest.fixture(scope="module")
def site(past: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The status page, with its API, of a problem with a past and of one with none."""
    home = tmp_path_factory.mktemp("site") / "home"
    shutil.copytree(past, home)
    settings = small_settings(home).model_copy(update={"active": ("small", "churn")})
    token_of(settings, "read")  # so that nobody sees it without one
    with opened(settings) as found:
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


def sign_in(page: Page, site: Site, *scopes: str, at: str = "") -> None:
    page.goto(f"{site.url}/{at}")
    page.get_by_label("Token").fill(token_of(site.settings, *scopes))
    page.get_by_role("button", name="Sign in").click()
    settled(page, "Overview")


def go(page: Page, title: str) -> None:
    page.get_by_test_id("stSidebarNav").get_by_role("link", name=title).click()
    settled(page, title)


def walk(page: Page, prefix: str) -> None:
    """Every page at each size: no error, nothing wider than the window, a picture kept."""
    for title in PAGES:
        page.set_viewport_size(DESKTOP)
        go(page, title)
        assert page.get_by_test_id("stException").count() == 0, title
        for size, window in SIZES.items():
            resize(page, size)
            settled(page, title)
            assert_fits(page, title)
            shoot(page, f"{prefix}-{title.lower()}-{size}", window)


def resize(page: Page, size: str) -> None:
    page.set_viewport_size(SIZES[size])
    page.wait_for_function("(width) => window.innerWidth === width", arg=SIZES[size]["width"])


@pytest.mark.parametrize("page", ["light"], indirect=True)
def test_every_page_of_a_problem_with_a_past(page: Page, site: Site) -> None:
    sign_in(page, site, "read", "predict", "admin")
    walk(page, "full")


@pytest.mark.parametrize("page", ["dark"], indirect=True)
def test_every_page_of_a_problem_without_one_in_the_dark(page: Page, site: Site) -> None:
    sign_in(page, site, "read")
    page.get_by_role("combobox", name="Problem").click()
    page.get_by_role("option", name="churn").click()
    page.get_by_text("No model yet").wait_for(timeout=WAIT_MS)
    background = "() => getComputedStyle(document.querySelector('.stApp')).backgroundColor"
    assert page.evaluate(background) == "rgb(18, 23, 29)"
    walk(page, "empty")


def test_no_page_shows_anything_to_who_is_not_signed_in(page: Page, site: Site) -> None:
    for title in PAGES:
        page.goto(site.url if title == "Overview" else f"{site.url}/{title.lower()}")
        settled(page, "Perennial")
        assert page.get_by_label("Token").is_visible()
        assert page.get_by_role("heading").all_inner_texts() == ["Perennial"], title
        assert page.get_by_test_id("stSidebarNav").count() == 0
        for kind in ("stPlotlyChart", "stDataFrame", "stException"):
            assert page.get_by_test_id(kind).count() == 0, title
    for size, window in SIZES.items():
        resize(page, size)
        assert_fits(page, "the form to sign in")
        shoot(page, f"sign-in-{size}", window)


def test_the_first_page_also_answers_to_its_name(page: Page, site: Site) -> None:
    sign_in(page, site, "read", at="overview")
    assert page.get_by_text("Page not found").count() == 0
    assert page.get_by_test_id("stSidebarNav").get_by_role("link").count() == len(PAGES)


def test_a_click_on_a_cell_opens_its_distributions(page: Page, site: Site) -> None:
    sign_in(page, site, "read")
    go(page, "Drift")
    before = page.get_by_role("combobox", name="Feature").input_value()
    cells = page.locator(".st-key-heat .scatterlayer .point")
    cells.nth(1).click(force=True)  # the second oldest check of the feature that drifted least
    page.wait_for_function(
        "(before) => document.querySelector('input[aria-label*=Feature]')?.value !== before",
        arg=before,
        timeout=WAIT_MS,
    )
    settled(page, "Drift")
    assert page.get_by_role("combobox", name="Feature").input_value() == "plan"
    assert page.locator(".st-key-cell").get_by_text("reference").first.is_visible()


def test_a_prediction_is_tried_and_explained_by_the_real_api(page: Page, site: Site) -> None:
    sign_in(page, site, "read", "predict")
    go(page, "Try")
    page.get_by_role("button", name="Predict").click()
    page.get_by_role("heading", name="Why").wait_for(timeout=WAIT_MS)
    settled(page, "Try")
    assert page.get_by_text("contribution", exact=False).count() > 0
    shoot(page, "try-answered-desktop", DESKTOP)
