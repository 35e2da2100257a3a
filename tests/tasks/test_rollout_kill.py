"""A process that dies between two steps of a rollout: the next look finishes what was left."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from settings import Settings
from storage import kill_points
from storage.database import reading
from storage.ledger_check import check
from tests.api.servers import CHECKOUT
from tests.factories import serve_rows, small_rows, small_run
from tests.tasks.conftest import PowerCutError
from tests.tasks.killed import IN_ROLLOUT
from tests.tasks.staged import acts, pointer_of, promoted, quiet, states, told, watch


@dataclass(frozen=True)
class Chapter:
    """What comes before a look, the row at which it looks, and what is true after the next one."""

    before: Callable[[Settings], None]
    row: int
    holds: Callable[[Settings], None]


def passes_the_shadow(settings: Settings) -> None:
    serve_rows(settings, small_rows(750, 80, turned=True), "1")


def is_canary(settings: Settings) -> None:
    candidate = pointer_of(settings).candidate
    assert candidate is not None
    assert (candidate.version, candidate.role) == ("2", "canary")
    assert acts(settings) == [(1, 1, "promoted"), (2, 2, "shadow"), (3, 2, "canary")]
    assert told(settings) == ["shadow_started", "shadow_passed", "canary_started"]


def passes_as_canary(settings: Settings) -> None:
    passes_the_shadow(settings)
    watch(settings, 830)
    serve_rows(settings, small_rows(830, 40, turned=True), "2")


def is_promoted(settings: Settings) -> None:
    assert (pointer_of(settings).version, pointer_of(settings).candidate) == ("2", None)
    assert states(settings) == ["archived", "champion"]
    assert acts(settings)[3:] == [(4, 2, "promoted")]
    assert told(settings)[3:] == ["canary_passed", "promoted"]


def is_worse(settings: Settings) -> None:
    serve_rows(settings, small_rows(750, 55), "1")


def is_withdrawn(settings: Settings) -> None:
    assert (pointer_of(settings).version, pointer_of(settings).candidate) == ("1", None)
    assert states(settings) == ["champion", "refused"]
    assert told(settings) == ["shadow_started", "shadow_failed"]


def is_worse_on_probation(settings: Settings) -> None:
    promoted(settings)
    serve_rows(settings, small_rows(870, 100), "2")


def is_back(settings: Settings) -> None:
    assert pointer_of(settings).version == "1"
    assert acts(settings)[4:] == [(5, 1, "rolled_back_to")]
    assert told(settings)[-2:] == ["probation_failed", "rolled_back"]


BEGIN = Chapter(passes_the_shadow, 830, is_canary)
WITHDRAW = Chapter(is_worse, 805, is_withdrawn)
CHAPTERS = {
    "rollout.stage_begun": BEGIN,
    "rollout.candidate_pointed": BEGIN,
    "rollout.stage_open": BEGIN,
    "rollout.evidence_kept": BEGIN,
    "rollout.passed": Chapter(passes_as_canary, 870, is_promoted),
    "rollout.failed": WITHDRAW,
    "rollout.candidate_withdrawn": WITHDRAW,
    "rollout.way_back_begun": Chapter(is_worse_on_probation, 970, is_back),
}
LOOK = (
    "import sys; from pathlib import Path; from storage import kill_points; "
    "from tests.tasks.staged import quiet, watch; "
    "kill_points.arm(sys.argv[2]); watch(quiet(Path(sys.argv[1])), int(sys.argv[3]))"
)


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    kill_points.arm(None)


def cut() -> None:
    kill_points.arm(None)
    raise PowerCutError


def finish(settings: Settings, chapter: Chapter) -> None:
    """The next look, and one more that finds nothing to do."""
    watch(settings, chapter.row + 1)
    chapter.holds(settings)
    before = acts(settings), told(settings)
    watch(settings, chapter.row + 2)
    assert (acts(settings), told(settings)) == before
    with small_run(settings) as run, reading(run.engine) as connection:
        assert check(connection).is_whole


@pytest.mark.parametrize("point", IN_ROLLOUT)
def test_the_next_look_finishes_what_was_cut(shadowed: Settings, point: str) -> None:
    chapter = CHAPTERS[point]
    chapter.before(shadowed)
    kill_points.arm(point, cut)
    with pytest.raises(PowerCutError):
        watch(shadowed, chapter.row)
    finish(shadowed, chapter)


@pytest.mark.long
@pytest.mark.parametrize("point", IN_ROLLOUT)
def test_every_point_is_survived_for_good(shadowed_home: Path, tmp_path: Path, point: str) -> None:
    home, chapter = tmp_path / "home", CHAPTERS[point]
    shutil.copytree(shadowed_home, home)
    settings = quiet(home)
    chapter.before(settings)
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(home), point, str(chapter.row)],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        check=False,
        timeout=280,
    )
    assert done.returncode == -9
    finish(settings, chapter)
