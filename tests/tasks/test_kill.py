"""`kill -9` at any step of a turn: the next turn finishes or closes what was left."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from settings import Settings
from storage import observations as obs
from storage.bundles import read_bundle
from storage.pointers import read_pointer
from storage.tables import alerts, batches, models, releases, runs
from tests.api.servers import CHECKOUT
from tests.factories import rows_of, serve_rows, small_rows, small_settings, tick
from tests.tasks.killed import POINTS

ROW = 750


@pytest.fixture(scope="module")
def killed(championed_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Homes in which a turn that would have swapped the model was killed, one per point."""
    folder = tmp_path_factory.mktemp("killed")
    template = folder / "template"
    shutil.copytree(championed_home, template)
    serve_rows(small_settings(template), small_rows(400, 350, turned=True), "1")
    for place in range(len(POINTS)):
        shutil.copytree(template, folder / str(place))
    command = [sys.executable, "-m", "tests.tasks.killed", str(folder), str(ROW)]
    done = subprocess.run(
        command,
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def assert_one_story(settings: Settings) -> None:
    """Tables, pointer, bundles and observations say the same."""
    pointer = read_pointer(settings.store, "small")
    assert pointer is not None
    versions = {row.version: row for row in rows_of(settings, models)}
    champions = [row for row in versions.values() if row.state == "champion"]
    assert [str(row.version) for row in champions] == [pointer.version]
    served = [row for row in rows_of(settings, releases) if row.generation == pointer.generation]
    assert [(row.bundle, row.state) for row in served] == [(pointer.bundle, "promoted")]
    unfinished = {"training", "candidate", "challenger"}
    assert not unfinished & {row.state for row in versions.values()}
    assert "pending" not in {row.state for row in rows_of(settings, releases)}
    assert "running" not in {row.state for row in rows_of(settings, runs)}
    for folder in (settings.store / "bundles" / "small").glob("[!.]*"):
        read_bundle(settings.store, "small", folder.name)
    frame = obs.read_observations(settings.store, "small")
    assert (len(frame), frame[obs.KEY].nunique()) == (750, 750)
    assert sum(row.n_rows for row in rows_of(settings, batches)) == 750
    told = [row.title for row in rows_of(settings, alerts) if row.kind == "promoted"]
    assert told == [f"Promoted: version 1 → {pointer.version}"]


@pytest.mark.slow
@pytest.mark.parametrize("place", range(len(POINTS)), ids=list(POINTS))
def test_the_next_turn_finishes_what_a_killed_one_began(killed: Path, place: int) -> None:
    settings = small_settings(killed / str(place))
    assert "running" in {row.state for row in rows_of(settings, runs)}
    tick(settings, ROW + 1)
    assert_one_story(settings)
    before = rows_of(settings, releases)
    assert not tick(settings, ROW + 2)["retrain"]
    assert rows_of(settings, releases) == before
    assert_one_story(settings)
