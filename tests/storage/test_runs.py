"""Runs and their steps."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Engine, select

from storage import runs
from storage.database import reading, writing
from storage.leases import Lease
from storage.tables import steps

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = Lease("demo", "here", 4)


def begun(engine: Engine, flow: str = "continual") -> str:
    """The id of a new run."""
    with writing(engine) as db:
        return runs.start_run(db, LEASE, flow, NOW, "prefect-id")


def test_a_run_ends_with_a_state_and_a_reason(engine: Engine) -> None:
    run_id = begun(engine)
    with writing(engine) as db:
        assert runs.previous_run(db, "demo", "continual") is None
        runs.end_run(db, run_id, "failed", "disk full")
    with reading(engine) as db:
        row = runs.previous_run(db, "demo", "continual")
        newest = runs.last_runs(db, "demo")
    assert row is not None
    assert (row.state, row.reason, row.epoch) == ("failed", "disk full", 4)
    assert row.ended_at >= row.started_at
    assert newest["continual"]["state"] == "failed"


def test_the_newest_run_of_each_flow_is_shown(engine: Engine) -> None:
    for flow in ("ingest", "continual", "ingest"):
        run_id = begun(engine, flow)
    with writing(engine) as db:
        runs.end_run(db, run_id, "done", "")
    with reading(engine) as db:
        newest = runs.last_runs(db, "demo")
    assert {flow: row["state"] for flow, row in newest.items()} == {
        "ingest": "done",
        "continual": "running",
    }


def test_a_step_is_committed_once(engine: Engine) -> None:
    run_id = begun(engine)
    with writing(engine) as db:
        runs.commit_step(db, run_id, "train", {"version": 1})
        runs.commit_step(db, run_id, "train", {"version": 2})
        runs.commit_step(db, run_id, "train", {"version": 3}, input_hash="other rows")
    with reading(engine) as db:
        rows = db.execute(select(steps.c.output).order_by(steps.c.input_hash)).scalars().all()
    assert rows == [{"version": 1}, {"version": 3}]
