"""Pictures of the status page and of a Prefect run, as the README and the documentation show them.

They are of a real story: the home folder that `perennial demo` left. The status page, the API and
the Prefect server are started on it, opened in Chromium, and ended:

    perennial demo
    python docs/make_screenshots.py
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from operate import stack_services as services
from operate.processes import Processes
from operate.stack_host import free_port
from settings import Settings, get_settings

FOLDER = Path(__file__).parent / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DESKTOP = {"width": 1280, "height": 860}
WAIT_MS = 120_000
COLOURS = 128  # flat pages lose nothing by it, and are a third of the size
DRAWN = (
    "() => [...document.querySelectorAll('[data-testid=stPlotlyChart]')]"
    ".every(chart => chart.querySelector('.main-svg'))"
    " && !document.querySelector('[data-testid=stSkeleton]')"
)


def settings_of(home: Path) -> Settings:
    """Settings of a demo's home, on free ports; nobody signs in, for nobody else can reach it."""
    problems = sorted(path.stem for path in (home / "problems").glob("*.yaml"))
    if not problems or not (home / "perennial.db").is_file():
        sys.exit(f"{home}: found no story; `perennial demo` tells one and leaves it there")
    changes: dict[str, Any] = {
        "home": home,
        "problems": home / "problems",
        "active": tuple(problems),
        "clock": home / "clock",
        "api_insecure": True,
        **{f"{part}_port": free_port() for part in ("api", "ui", "prefect", "mlflow")},
    }
    return Settings(_env_file=None).model_copy(update=changes)  # type: ignore[call-arg]


@contextmanager
def opened(settings: Settings) -> Iterator[Page]:
    """A window of a browser while everything runs."""
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        sys.exit(f"found no browser; expected one of {', '.join(BROWSERS)}")
    with Processes(settings.home / "logs") as running, sync_playwright() as playwright:
        for part in (services.prefect_service, services.api_service, services.ui_service):
            running.start(part(settings))
        running.wait_ready()
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(viewport=DESKTOP, color_scheme="light")
        page.set_default_timeout(WAIT_MS)
        yield page
        chromium.close()


def keep(page: Page, name: str) -> None:
    """What the window shows, with few colours."""
    picture = Image.open(BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    path = FOLDER / f"{name}.png"
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    sys.stdout.write(f"{path}: {path.stat().st_size / 1000:.0f} kB\n")


def of_status_page(page: Page, base: str, title: str, name: str) -> None:
    """One page of the status page."""
    page.goto(base if title == "Overview" else f"{base}/{title.lower()}")
    page.get_by_role("heading", name=title, exact=True, level=1).wait_for()
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    page.wait_for_function(DRAWN)
    page.mouse.move(DESKTOP["width"] / 2, 5)
    keep(page, name)


def newest_promotion(api: str) -> tuple[str, str]:
    """The newest run that promoted a model: its id and its problem."""
    states = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
    asked = {**states, "sort": "START_TIME_DESC", "limit": 200}
    runs = httpx.post(f"{api}/flow_runs/filter", json=asked, timeout=30).raise_for_status().json()
    for run in runs:
        if "promoted" in run["name"]:
            return run["id"], run["name"].split()[1]
    sys.exit("no run of this story promoted a model")


def of_prefect(page: Page, api: str) -> None:
    """The run with its steps, and the verdict that it left."""
    base = api.removesuffix("/api")
    run, problem = newest_promotion(api)
    page.goto(f"{base}/runs/flow-run/{run}")
    page.locator("#artifacts").click()
    gate = page.get_by_text(f"{problem}-gate", exact=True).last
    gate.wait_for()
    page.wait_for_timeout(2000)  # the canvas of steps says nothing about when it is drawn
    keep(page, "prefect-run")
    gate.click()
    page.get_by_role("button", name="Show raw data").wait_for()
    page.get_by_role("table").first.wait_for()
    keep(page, "prefect-gate")


def main() -> None:
    """Write all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    usual = get_settings().home / "demo" / "maintenance"
    parser.add_argument("home", nargs="?", type=Path, default=usual, help="what a demo left")
    settings = settings_of(parser.parse_args().home.resolve())
    FOLDER.mkdir(exist_ok=True)
    with opened(settings) as page:
        base = services.ui_url(settings)
        for title in ("Overview", "Performance", "Drift"):
            of_status_page(page, base, title, f"status-{title.lower()}")
        of_prefect(page, services.prefect_api_url(settings))


if __name__ == "__main__":
    main()
