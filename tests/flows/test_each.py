"""A flow's turn: who is served, and which late runs have nothing left to do."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext

from flows.each import _one, for_each
from flows.ingest import ingest_all
from flows.maintain import _maintain
from flows.monitor import _watch
from flows.publish import publish
from flows.retrain import retrain
from settings import Settings
from storage.tables import alerts, runs
from tasks.rollback import RollbackError
from tests.factories import bootstrap, drop, rows_of, small_rows, small_settings
from tests.factories_releases import release_next


@pytest.fixture
def small(tmp_path: Path) -> Settings:
    """Settings of an empty home with the small problem."""
    return small_settings(tmp_path / "home")


def scheduled(
    settings: Settings, due: datetime, by_schedule: bool = True, name: str = "ingest"
) -> dict[str, Any]:
    """What a flow run gives that the scheduler, or a person, wanted at a time."""
    flow_run = FlowRun(flow_id=uuid4(), auto_scheduled=by_schedule, expected_start_time=due)
    with FlowRunContext.model_construct(flow_run=flow_run):
        return _one(name, "small", None, lambda _run: {"worked": True}, settings)


def test_a_problem_that_wants_a_turn_every_hour_leaves_the_others_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.each.reconcile", lambda _run: 0)
    hourly = small_settings(tmp_path / "home", every="1h")
    now = datetime.now(UTC)
    assert scheduled(hourly, now, name="continual") == {"worked": True}
    soon = scheduled(hourly, now + timedelta(minutes=30), name="continual")
    assert "less often" in soon["skipped"]
    assert scheduled(hourly, now, by_schedule=False, name="continual") == {"worked": True}
    assert scheduled(hourly, now + timedelta(minutes=61), name="continual") == {"worked": True}
    assert scheduled(hourly, now + timedelta(minutes=30)) == {"worked": True}  # of ingest


def test_late_runs_are_covered_by_the_first_that_does_their_work(
    small: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.each.reconcile", lambda _run: 0)  # a task needs a server
    hours_ago = datetime.now(UTC) - timedelta(hours=3)
    assert scheduled(small, hours_ago) == {"worked": True}
    for minutes in (1, 2, 3):
        late = scheduled(small, hours_ago + timedelta(minutes=minutes))
        assert "is covered by a later one" in late["skipped"]
    assert scheduled(small, datetime.now(UTC)) == {"worked": True}
    assert scheduled(small, hours_ago, by_schedule=False) == {"worked": True}
    assert len(rows_of(small, runs)) == 3


def test_a_late_run_whose_predecessor_failed_does_its_work(
    small: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.each.reconcile", lambda _run: 0)
    monkeypatch.setattr("tasks.run.announce", lambda *_told: None)  # an event needs one as well
    hours_ago = datetime.now(UTC) - timedelta(hours=3)

    def fail(_run: object) -> dict[str, Any]:
        raise ConnectionError("reset")

    with pytest.raises(ConnectionError):
        for_each("ingest", "small", None, fail, small)
    assert scheduled(small, hours_ago) == {"worked": True}


def test_monitoring_says_that_there_is_no_champion_yet(small: Settings) -> None:
    found = for_each("monitor", "small", None, _watch, small)["small"]
    assert found == {
        "drift": "no champion yet",
        "performance": "no champion yet",
        "estimate": "no champion yet",
        "joint": "not due",
        "report": None,
    }


def test_maintenance_merges_files_and_removes_what_the_dead_left(small: Settings) -> None:
    for first in (0, 30, 60):
        drop(small, small_rows(first, 30), f"{first}.csv")
    for_each("ingest", "small", None, ingest_all, small)
    draft = small.store / "bundles" / "small" / ".draft-x"
    word = small.store / "servers" / "small" / "dead.json"
    for path in (draft, word.parent):
        path.mkdir(parents=True)
    word.write_text("{}")
    for path in (draft, word):
        os.utime(path, (0, 0))
    found = for_each("maintain", "small", None, _maintain, small)["small"]
    lost = {"quarantined_rows_lost": 0, "bundles_removed": 0, "data_files_removed": 0}
    assert found == {"files_merged": 3, "files_removed": 2, "recorded": 0, **lost}


def test_a_person_publishes_and_retrains_by_hand(
    small: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.each.get_settings", lambda: small)
    bootstrap(small)
    release_next(small)
    assert publish.fn("small")["small"] == {"version": "2", "generation": 2}
    found = publish.fn("small", 1, "it looks wrong")["small"]
    assert (found["version"], found["generation"]) == ("1", 3)
    assert rows_of(small, alerts)[-1].kind == "rolled_back"
    with pytest.raises(RollbackError, match="no bundle of version 9"):
        publish.fn("small", 9, "it looks better")
    assert rows_of(small, alerts)[-1].kind == "rolled_back"  # who mistyped reads it in the run
    drop(small, small_rows(400, 150), "more.csv")
    for_each("ingest", "small", None, ingest_all, small)
    judged = retrain.fn("small", "I want to see")["small"]
    assert judged["outcome"] in ("promoted", "refused", "inconclusive")


def test_maintenance_removes_documents_beyond_their_number_and_age_but_never_the_newest(
    tmp_path: Path,
) -> None:
    settings = small_settings(tmp_path / "home", drift={"reports_kept": 3, "reports_max_age": "2d"})
    folder = settings.home / "reports" / "small"
    folder.mkdir(parents=True)
    day = 86_400
    for name, age in (("a", 9), ("b", 3), ("c", 1), ("d", 0.5), ("e", 0)):
        (folder / f"{name}.html").write_text("x")
        moment = time.time() - age * day
        os.utime(folder / f"{name}.html", (moment, moment))
    for_each("maintain", "small", None, _maintain, settings)
    assert sorted(path.stem for path in folder.iterdir()) == ["c", "d", "e"]
    for path in folder.iterdir():
        os.utime(path, (0, 0))
    for_each("maintain", "small", None, _maintain, settings)
    assert len(list(folder.iterdir())) == 1
