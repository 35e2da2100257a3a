"""The loop as Prefect runs it, killed at a point: the next turn finishes what was left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from flows.continual import continual
from settings import Settings
from storage.tables import runs
from tests.api.servers import CHECKOUT
from tests.factories import START, bootstrap, rows_of
from tests.tasks.killed import ROW, prepared, story_holds

POINTS = (
    "ingest.rows_appended",
    "export.bundle_written",
    "gate.verdict_kept",
    "promote.pointer_moved",
    "promote.crowned",
)
TURN = (
    "from datetime import datetime; import sys; from flows.continual import continual; "
    "continual('small', datetime.fromisoformat(sys.argv[1]))"
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose next turn passes every step."""
    from tests.factories import small_settings

    home = tmp_path_factory.mktemp("prefect-killed") / "template"
    bootstrap(small_settings(home))
    return prepared(home)


@pytest.mark.long
@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("point", POINTS)
def test_a_flow_run_that_is_killed_is_finished_by_the_next(
    home: Settings, template: Path, point: str
) -> None:
    from prefect.settings import PREFECT_API_URL

    shutil.copytree(template, home.home, dirs_exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "PERENNIAL_KILL_AT": point}
    environment["PREFECT_API_URL"] = str(PREFECT_API_URL.value())
    now = START + timedelta(minutes=ROW)
    done = subprocess.run(
        [sys.executable, "-c", TURN, now.isoformat()],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    (dead,) = [row for row in rows_of(home, runs) if row.state == "running"]
    assert dead.flow_run_id is not None
    continual("small", now + timedelta(minutes=1))
    story_holds(home)
