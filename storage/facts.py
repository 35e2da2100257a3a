"""What the loop last wrote of a problem, as the API and its metrics show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Engine, select

from storage.database import reading
from storage.tables import drift_results, performance_metrics, runs
from storage.values import Facts


def read_facts(engine: Engine, problems: Sequence[str]) -> dict[str, Facts]:
    """The facts of each problem."""
    with reading(engine) as connection:
        return {problem: _read(connection, problem) for problem in problems}


def _read(connection: Connection, problem: str) -> Facts:
    facts = Facts()
    run = _latest(connection, runs, "ended_at", problem)
    if run is not None:
        facts = replace(facts, last_run_ended=run["ended_at"].timestamp())
    drift = _latest(connection, drift_results, "checked_at", problem)
    if drift is not None:
        facts = replace(facts, drift_share=drift["drift_share"])
    live = _latest(connection, performance_metrics, "measured_at", problem)
    if live is not None:
        facts = replace(facts, live_metric=live["metric"], live_value=live["value"])
    return facts


def _latest(connection: Connection, table: Any, column: str, problem: str) -> Any:
    query = (
        select(table)
        .where(table.c.problem == problem, table.c[column].is_not(None))
        .order_by(table.c[column].desc())
        .limit(1)
    )
    return connection.execute(query).mappings().one_or_none()


def latest_drift(engine: Engine, problem: str) -> dict[str, Any] | None:
    """The newest drift check of a problem, or None before the first."""
    with reading(engine) as connection:
        row = _latest(connection, drift_results, "checked_at", problem)
    return None if row is None else dict(row)
