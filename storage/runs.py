"""Runs of the loop: what was begun, what ended, and the steps each one finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Row, insert, select, update

from storage.database import insert_missing
from storage.leases import Lease
from storage.tables import runs, steps


def start_run(
    connection: Connection, lease: Lease, flow: str, clock: datetime, flow_run_id: str | None
) -> str:
    """Record that a run begins and return its id."""
    run_id = str(uuid4())
    connection.execute(
        insert(runs).values(
            run_id=run_id,
            problem=lease.problem,
            flow=flow,
            epoch=lease.epoch,
            state="running",
            flow_run_id=flow_run_id,
            clock=clock,
            started_at=datetime.now(UTC),
        )
    )
    return run_id


def end_run(connection: Connection, run_id: str, state: str, reason: str) -> None:
    """Record that a run ended as ``done`` or ``failed``, and why."""
    connection.execute(
        update(runs)
        .where(runs.c.run_id == run_id)
        .values(state=state, reason=reason, ended_at=datetime.now(UTC))
    )


def abandon_dead_runs(connection: Connection, lease: Lease) -> list[str]:
    """Mark runs of earlier lease holders that never ended, and return their ids."""
    dead = (
        runs.c.problem == lease.problem,
        runs.c.state == "running",
        runs.c.epoch < lease.epoch,
    )
    found = connection.execute(select(runs.c.run_id).where(*dead)).scalars().all()
    connection.execute(
        update(runs)
        .where(*dead)
        .values(state="abandoned", reason="its process ended", ended_at=datetime.now(UTC))
    )
    return list(found)


def commit_step(
    connection: Connection, run_id: str, step: str, output: Mapping[str, Any], input_hash: str = ""
) -> None:
    """Record what a step of a run gave; recording it again changes nothing."""
    row = {
        "run_id": run_id,
        "step": step,
        "input_hash": input_hash,
        "output": dict(output),
        "committed_at": datetime.now(UTC),
    }
    insert_missing(connection, steps, row, ("run_id", "step", "input_hash"))


def flow_run_id_of(connection: Connection, run_id: str) -> str | None:
    """Prefect's id of a run, None when Prefect did not run it."""
    found = connection.scalar(select(runs.c.flow_run_id).where(runs.c.run_id == run_id))
    return None if found is None else str(found)


def states_of_flow_run(
    connection: Connection, flow: str, flow_run_id: str, since: datetime
) -> dict[str, str]:
    """The newest state of each problem's run within a flow run of Prefect that began lately."""
    rows = connection.execute(
        select(runs.c.problem, runs.c.state)
        .where(runs.c.flow == flow, runs.c.flow_run_id == flow_run_id, runs.c.started_at >= since)
        .order_by(runs.c.started_at)
    )
    return {row.problem: row.state for row in rows}


def flows_of(connection: Connection, run_ids: Sequence[str]) -> list[str]:
    """The flows that some runs belonged to, each once."""
    query = select(runs.c.flow).where(runs.c.run_id.in_(run_ids)).distinct()
    return sorted(connection.execute(query).scalars())


def previous_run(connection: Connection, problem: str, flow: str) -> Row[Any] | None:
    """The last ended run of a flow, or None."""
    return connection.execute(
        select(runs)
        .where(runs.c.problem == problem, runs.c.flow == flow, runs.c.ended_at.is_not(None))
        .order_by(runs.c.started_at.desc())
        .limit(1)
    ).first()


def last_runs(connection: Connection, problem: str) -> dict[str, dict[str, Any]]:
    """The newest run of each flow: state, reason, started_at, ended_at."""
    rows = connection.execute(
        select(runs).where(runs.c.problem == problem).order_by(runs.c.started_at.desc()).limit(500)
    )
    newest: dict[str, dict[str, Any]] = {}
    for row in rows:
        newest.setdefault(
            row.flow,
            {
                "state": row.state,
                "reason": row.reason,
                "started_at": row.started_at,
                "ended_at": row.ended_at,
            },
        )
    return newest
