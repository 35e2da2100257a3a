"""What watching and deciding left behind: drift results and decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from storage.database import insert_missing
from storage.tables import decisions, drift_results, performance_metrics, predictions


def save_drift(connection: Connection, values: Mapping[str, Any]) -> None:
    """Keep a drift result; one per run."""
    row = {
        "report": None,
        "watched": None,
        "shapes": None,
        **values,
        "checked_at": datetime.now(UTC),
    }
    insert_missing(connection, drift_results, row, ("run_id",))


def attach_report(connection: Connection, run_id: str, report: str) -> None:
    """Name the document (a path below the home folder) that belongs to a run's drift result."""
    connection.execute(
        update(drift_results).where(drift_results.c.run_id == run_id).values(report=report)
    )


def attach_joint(connection: Connection, run_id: str, joint: Mapping[str, Any]) -> None:
    """Keep a run's joint check with its drift result."""
    row = drift_of_run(connection, run_id)
    if row is not None:
        connection.execute(
            update(drift_results)
            .where(drift_results.c.run_id == run_id)
            .values(watched={**(row.watched or {}), "joint": dict(joint)})
        )


def latest_joint(connection: Connection, problem: str, newest: int = 500) -> Row[Any] | None:
    """The newest drift result that a joint check belongs to, or None among the newest ones.

    Without its features and shapes: of hundreds of checks they are much to read.
    """
    columns = [each for each in drift_results.c if each.name not in ("features", "shapes")]
    rows = connection.execute(
        select(*columns)
        .where(drift_results.c.problem == problem)
        .order_by(drift_results.c.id.desc())
        .limit(newest)
    )
    return next((row for row in rows if "joint" in (row.watched or {})), None)


def save_decision(connection: Connection, values: Mapping[str, Any]) -> None:
    """Keep a decision; one of a kind per run."""
    row = {"trigger": None, **values, "decided_at": datetime.now(UTC)}
    insert_missing(connection, decisions, row, ("run_id", "kind"))


def latest_drift(connection: Connection, problem: str) -> Row[Any] | None:
    """The newest drift result, or None."""
    return connection.execute(
        select(drift_results)
        .where(drift_results.c.problem == problem)
        .order_by(drift_results.c.id.desc())
        .limit(1)
    ).first()


def drift_course(
    connection: Connection, problem: str, n_checks: int, newest: int
) -> Sequence[Row[Any]]:
    """At most ``n_checks`` of the ``newest`` drift results, evenly spread, oldest first.

    Without ``shapes``, which are asked for one check at a time.
    """
    ids = (
        connection.execute(
            select(drift_results.c.id)
            .where(drift_results.c.problem == problem)
            .order_by(drift_results.c.id.desc())
            .limit(newest)
        )
        .scalars()
        .all()
    )
    every = max(1, -(-len(ids) // n_checks))
    columns = [column for column in drift_results.c if column.name != "shapes"]
    return connection.execute(
        select(*columns).where(drift_results.c.id.in_(ids[::every])).order_by(drift_results.c.id)
    ).all()


def drift_of_run(connection: Connection, run_id: str) -> Row[Any] | None:
    """The drift result of one run, or None."""
    return connection.execute(select(drift_results).where(drift_results.c.run_id == run_id)).first()


def past_drift(connection: Connection, problem: str, newest: int) -> Sequence[Row[Any]]:
    """Features and report of the newest drift results, newest first; nothing heavier of them."""
    return connection.execute(
        select(drift_results.c.features, drift_results.c.report)
        .where(drift_results.c.problem == problem)
        .order_by(drift_results.c.id.desc())
        .limit(newest)
    ).all()


def drift_until(
    connection: Connection, problem: str, until: datetime, newest: int
) -> Sequence[Row[Any]]:
    """The newest drift results that were kept until a moment, newest first."""
    return connection.execute(
        select(drift_results)
        .where(drift_results.c.problem == problem, drift_results.c.checked_at <= until)
        .order_by(drift_results.c.id.desc())
        .limit(newest)
    ).all()


def performance_until(
    connection: Connection, problem: str, until: datetime, newest: int
) -> Sequence[Row[Any]]:
    """The newest measurements that were kept until a moment, newest first."""
    return connection.execute(
        select(performance_metrics)
        .where(performance_metrics.c.problem == problem, performance_metrics.c.measured_at <= until)
        .order_by(performance_metrics.c.id.desc())
        .limit(newest)
    ).all()


def gate_decision(connection: Connection, run_id: str) -> Row[Any] | None:
    """The gate's decision in one run, or None."""
    return connection.execute(
        select(decisions).where(decisions.c.run_id == run_id, decisions.c.kind == "gate")
    ).first()


def gate_decisions(connection: Connection, problem: str, version: int) -> list[Row[Any]]:
    """All that the gate said of a version, newest first: it may have been judged again."""
    found = connection.execute(
        select(decisions)
        .where(decisions.c.problem == problem, decisions.c.kind == "gate")
        .order_by(decisions.c.id.desc())
    )
    return [row for row in found if row.evidence.get("version") == version]


def decisions_of(
    connection: Connection, problem: str, kind: str, newest: int
) -> Sequence[Row[Any]]:
    """The newest decisions of a kind, newest first."""
    return connection.execute(
        select(decisions)
        .where(decisions.c.problem == problem, decisions.c.kind == kind)
        .order_by(decisions.c.id.desc())
        .limit(newest)
    ).all()


def go_evidence(connection: Connection, problem: str, run_ids: Sequence[str]) -> Sequence[Row[Any]]:
    """Run, trigger and evidence of the retrain decisions of some runs that went, newest first."""
    return connection.execute(
        select(decisions.c.run_id, decisions.c.trigger, decisions.c.evidence)
        .where(
            decisions.c.problem == problem,
            decisions.c.kind == "retrain",
            decisions.c.go,
            decisions.c.run_id.in_(run_ids),
        )
        .order_by(decisions.c.id.desc())
    ).all()


def served_rows(
    connection: Connection, problem: str, newest: int, latest: datetime | None = None
) -> Sequence[Row[Any]]:
    """The newest served predictions, newest first by event time, none of it behind ``latest``."""
    query = select(
        predictions.c.event_time, predictions.c.features, predictions.c.model_version
    ).where(predictions.c.problem == problem)
    if latest is not None:
        query = query.where(predictions.c.event_time <= latest)
    newest_first = query.order_by(predictions.c.event_time.desc(), predictions.c.id.desc())
    return connection.execute(newest_first.limit(newest)).all()
