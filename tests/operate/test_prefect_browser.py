"""Prefect's own pages, in a real browser: a deployment's form, and what a real run left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from operate import stack_services as services
from settings import Settings
from tests.operate.conftest import deploy_unscheduled, eventually, run_python
from tests.ui.browser import DESKTOP, LOCAL, SHOTS, WAIT_MS, find_browser

BROWSER = find_browser()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        BROWSER is None,
        reason="no Chromium here: install chromium or set PERENNIAL_TEST_BROWSER to its path",
    ),
]
# A first model from 400 rows, then a check of 120 answers from a world that has turned.
A_PAST = """
from datetime import timedelta
from tests.factories import START, drop, serve_rows, small_rows, small_settings
from flows.continual import continual
from flows.ingest import ingest
from flows.monitor import monitor
from settings import get_settings
from tasks import drift_report

drift_report.draw = lambda _request: "<html></html>"  # another test's, and many seconds
quick = {"models": ["linear"], "windows": ["all"], "folds": 1, "budget_seconds": 1}
settings = small_settings(get_settings().home, search=quick)
drop(settings, small_rows(0, 400), "history.parquet")
continual("small", START + timedelta(minutes=400))
serve_rows(settings, small_rows(400, 120, turned=True), "1")
ingest("small", now=START + timedelta(minutes=520))
monitor("small", START + timedelta(minutes=520))
"""


@pytest.fixture(scope="module")
def http(server: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of the server, where the deployments of this checkout stand."""
    deploy_unscheduled(server, tmp_path_factory.mktemp("checkout"))
    with httpx.Client(base_url=services.prefect_api_url(server) + "/", timeout=20) as client:
        yield client


@pytest.fixture(scope="module")
def runs(http: httpx.Client, server: Settings, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The ids of two real runs by their flow: one promoted a model, one found drift."""
    home = tmp_path_factory.mktemp("past") / "home"
    changes = {
        "home": home,
        "problems": home / "problems",
        "active": ("small",),
        "mlflow_uri": "http://127.0.0.1:9",  # the discard port: nobody listens
        "prefect_api_url": services.prefect_api_url(server),
    }
    run_python(server.model_copy(update=changes), "-c", A_PAST)
    found = http.post("flow_runs/filter", json={"flow_runs": {"state": {"type": {"any_": [
        "COMPLETED"]}}}}).raise_for_status().json()  # fmt: skip
    return {run["name"].partition(" ")[0]: run["id"] for run in found}


@pytest.fixture(scope="module")
def page(server: Settings) -> Iterator[Page]:
    """A window on the server's UI; whatever it asks elsewhere than here fails the test."""
    base = services.prefect_api_url(server).removesuffix("/api")
    elsewhere: list[str] = []
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        window = launched.new_page(viewport=DESKTOP, base_url=base)
        window.set_default_timeout(WAIT_MS)
        expect.set_options(timeout=WAIT_MS)
        window.on(
            "request",
            lambda one: None if one.url.startswith(LOCAL) else elsewhere.append(one.url),
        )
        yield window
        launched.close()
    assert elsewhere == []


def shoot(page: Page, name: str) -> Path:
    """What the window shows, in the folder that CI keeps."""
    SHOTS.mkdir(exist_ok=True)
    path = SHOTS / f"prefect-{name}.png"
    page.screenshot(path=path, animations="disabled")
    return path


def test_a_person_retrains_with_a_reason_by_the_form(http: httpx.Client, page: Page) -> None:
    deployment = http.get("deployments/name/retrain/retrain").raise_for_status().json()
    page.goto(f"/deployments/deployment/{deployment['id']}/run")
    for help_text in (
        "one problem, by its name; empty: each active one (PERENNIAL_ACTIVE)",
        "why, in a sentence; it stands in the ledger beside the gate's verdict",
    ):
        expect(page.get_by_text(help_text)).to_be_visible()
    reason = page.locator("textarea, input").and_(page.locator("[value], textarea")).all()
    texts = [one for one in reason if one.input_value() == "asked for in the Prefect UI"]
    assert len(texts) == 1  # the default
    texts[0].fill("a new price list")
    shoot(page, "form-retrain")
    page.get_by_role("button", name="Submit").click()

    def asked() -> list[dict[str, Any]]:
        body = {"deployments": {"id": {"any_": [deployment["id"]]}}}
        found = http.post("flow_runs/filter", json=body).raise_for_status().json()
        return [run["parameters"] for run in found]

    (parameters,) = eventually(asked)
    assert parameters["reason"] == "a new price list"


def open_artifact(page: Page, run: str, key: str) -> None:
    """Go from a run's page over its list of artifacts to one of them."""
    page.goto(f"/runs/flow-run/{run}")
    page.locator("#artifacts").click()
    page.get_by_text(f"small-{key}", exact=True).last.click()
    page.get_by_role("button", name="Show raw data").wait_for()


def test_a_run_that_promoted_shows_its_verdict_check_by_check(page: Page, runs: Any) -> None:
    page.goto(f"/runs/flow-run/{runs['continual']}")
    expect(page.get_by_text("continual small · 400 rows, version 1 promoted").first).to_be_visible()
    page.locator("#artifacts").click()
    expect(page.get_by_text("Who was served since when, and why.").first).to_be_visible()
    shoot(page, "run-artifacts")
    open_artifact(page, runs["continual"], "gate")
    expect(page.get_by_role("heading", name="Gate: promote, version 1")).to_be_visible()
    row = page.get_by_role("row").filter(has_text="parity")
    expect(row.get_by_role("cell", name="pass", exact=True)).to_be_visible()
    shoot(page, "artifact-gate")


def test_a_run_that_found_drift_shows_the_table_and_the_plot(page: Page, runs: Any) -> None:
    open_artifact(page, runs["monitor"], "drift")
    row = page.get_by_role("row").filter(has_text="Air temperature [K]")
    expect(row).to_contain_text("█")
    expect(row).to_contain_text("yes")
    shoot(page, "artifact-drift")
    open_artifact(page, runs["monitor"], "performance-plot")
    plot = page.locator("img[src^='data:image/png']").first
    expect(plot).to_be_visible()
    assert plot.evaluate("image => image.naturalWidth") > 300
    shoot(page, "artifact-plot")
