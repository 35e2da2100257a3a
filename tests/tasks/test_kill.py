"""A process that dies at any kill point: the next turn finishes or closes what was left."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import flows.continual
import tasks.record
from storage import kill_points, registry
from storage.database import StorageError
from storage.kill_points import POINTS
from storage.tables import releases, runs
from tests.api.servers import CHECKOUT
from tests.factories import rows_of, tick
from tests.fakes.webhook import FakeWebhook, running_webhook
from tests.tasks.conftest import PowerCutError
from tests.tasks.killed import (
    LOOP,
    ROW,
    TURN,
    furnish,
    prepared,
    scenario_of,
    settings_of,
    story_holds,
)

# Killed for good in each run of the tests; `make test-long` does so at every point.
REAL = ("export.bundle_drafted", "promote.pointer_moved")


@pytest.fixture(scope="session")
def template(championed_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose next turn passes every step."""
    home = tmp_path_factory.mktemp("killed") / "template"
    shutil.copytree(championed_home, home)
    return prepared(home)


@pytest.fixture(scope="session")
def mlflow_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs."""
    path = tmp_path_factory.mktemp("killed-mlflow") / "mlflow.db"
    assert registry.aliases(f"sqlite:///{path}", "small") == {}
    return path


@pytest.fixture(scope="session")
def webhook() -> Iterator[FakeWebhook]:
    """Where alerts are sent to."""
    with running_webhook() as fake:
        yield fake


@pytest.fixture
def lean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A turn without pictures, which reach no kill point and take half of its time."""
    monkeypatch.setattr(tasks.record, "complete_folder", lambda *_: None)
    monkeypatch.setattr(flows.continual, "render_drift_report", lambda _run: None)
    monkeypatch.setattr(flows.continual, "watch_joint", lambda _run: None)
    yield
    kill_points.arm(None)


def cut() -> None:
    """Ends a run as abruptly as Python can."""
    kill_points.arm(None)
    raise PowerCutError


@pytest.mark.parametrize("point", LOOP)
@pytest.mark.usefixtures("lean")
def test_the_next_turn_finishes_what_was_cut(
    tmp_path: Path, template: Path, mlflow_file: Path, webhook: FakeWebhook, point: str
) -> None:
    home, scenario = tmp_path / "home", scenario_of(point, is_short=True)
    furnish(home, scenario, template, mlflow_file, webhook.url)
    settings = settings_of(home)
    kill_points.arm(point, cut)
    with pytest.raises(PowerCutError):
        scenario.act(settings)
    scenario.finish(settings)
    scenario.holds(settings)


def killed(folder: Path, template: Path, mlflow: Path, url: str, points: tuple[str, ...]) -> Path:
    """Homes in which a process was killed, one per point."""
    for point in points:
        furnish(folder / point, scenario_of(point), template, mlflow, url)
    done = subprocess.run(
        [sys.executable, "-m", "tests.tasks.killed", str(folder), *points],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def some_killed(
    template: Path,
    mlflow_file: Path,
    webhook: FakeWebhook,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Homes of the points in `REAL`."""
    return killed(tmp_path_factory.mktemp("some"), template, mlflow_file, webhook.url, REAL)


@pytest.mark.slow
@pytest.mark.parametrize("point", REAL)
def test_the_next_turn_finishes_what_a_killed_one_began(some_killed: Path, point: str) -> None:
    settings = settings_of(some_killed / point)
    assert "running" in {row.state for row in rows_of(settings, runs)}
    TURN.finish(settings)
    story_holds(settings)
    before = rows_of(settings, releases)
    assert not tick(settings, ROW + 2)["retrain"]
    assert rows_of(settings, releases) == before
    story_holds(settings)


@pytest.mark.long
@pytest.mark.parametrize("point", LOOP)
def test_every_point_is_survived_for_good(
    tmp_path: Path, template: Path, mlflow_file: Path, webhook: FakeWebhook, point: str
) -> None:
    killed(tmp_path, template, mlflow_file, webhook.url, (point,))
    settings, scenario = settings_of(tmp_path / point), scenario_of(point)
    scenario.finish(settings)
    scenario.holds(settings)


def test_every_point_stands_in_the_code_once() -> None:
    found: list[str] = []
    for package in ("api", "flows", "learning", "operate", "storage", "tasks"):
        for path in (CHECKOUT / package).rglob("*.py"):
            found += re.findall(r'\breach\("([^"]*)"\)', path.read_text())
    assert sorted(found) == sorted(POINTS)
    assert len(POINTS) >= 25


def test_a_name_that_is_no_point_is_refused() -> None:
    with pytest.raises(StorageError, match=r"PERENNIAL_KILL_AT: found 'x'; expected one of alert"):
        kill_points.arm("x")
