"""What the loop last wrote of a problem, as the API and its metrics show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from storage.database import reading
from storage.tables import (
    decisions,
    drift_results,
    models,
    performance_metrics,
    quarantine,
    runs,
)
from storage.values import Facts


def read_facts(engine: Engine, problems: Sequence[str]) -> dict[str, Facts]:
    """The facts of each problem."""
    with reading(engine) as connection:
        return {problem: _read(connection, problem) for problem in problems}


def _read(connection: Connection, problem: str) -> Facts:
    facts = replace(_of_versions(connection, problem), n_quarantined=_waiting(connection, problem))
    run = _latest(connection, runs, "ended_at", problem, "ended_at")
    if run is not None:
        facts = replace(facts, last_run_ended=run["ended_at"].timestamp())
    # The features of a wide problem are 40 KB that nobody here reads.
    drift = _latest(connection, drift_results, "checked_at", problem, "drift_share", "is_drifted")
    if drift is not None:
        facts = replace(facts, **drift)
    live = _latest(connection, performance_metrics, "measured_at", problem)
    if live is not None:
        facts = replace(
            facts,
            live_metric=live["metric"],
            live_value=live["value"],
            live_low=live["low"],
            live_high=live["high"],
            live_floor=live["floor"],
            live_rows=live["n_rows"],
            is_below_floor=live["is_below_floor"],
        )
    return facts


def _of_versions(connection: Connection, problem: str) -> Facts:
    """How many versions stand where, when the champion was trained, how old it may get."""
    of_problem = models.c.problem == problem
    counts = connection.execute(
        select(models.c.state, func.count()).where(of_problem).group_by(models.c.state)
    )
    trained = connection.execute(
        select(func.max(models.c.trained_at)).where(of_problem, models.c.state == "champion")
    ).scalar_one()
    asked = connection.execute(
        select(decisions.c.evidence)
        .where(decisions.c.problem == problem, decisions.c.kind == "retrain")
        .order_by(decisions.c.decided_at.desc())
        .limit(1)
    ).scalar_one_or_none()
    return Facts(
        versions=tuple(sorted((str(state), int(n)) for state, n in counts)),
        champion_trained=None if trained is None else trained.timestamp(),
        age_limit_seconds=(asked or {}).get("max_age_seconds"),
        every_seconds=(asked or {}).get("every_seconds"),
    )


def _waiting(connection: Connection, problem: str) -> int:
    query = select(func.count()).where(
        quarantine.c.problem == problem, quarantine.c.state == "waiting"
    )
    return int(connection.execute(query).scalar_one())


def _latest(connection: Connection, table: Any, column: str, problem: str, *names: str) -> Any:
    """The newest row of a problem, or of it the named columns alone."""
    query = (
        select(*([table.c[name] for name in names] if names else [table]))
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
