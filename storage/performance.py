"""Live performance at rest: what is judged, what was measured, and its course over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, insert, select

from storage.tables import feedback, performance_metrics, predictions

# A measurement that says the same again is not kept again.
TOLD = ("model_version", "metric", "value", "low", "high", "n_rows", "label_share", "floor")
# What a plot of the course needs, without the documents that only the newest is asked for.
COURSE = (
    "clock",
    "measured_at",
    "model_version",
    "metric",
    "value",
    "low",
    "high",
    "floor",
    "n_rows",
    "label_share",
    "is_below_floor",
    "rivals",
)
OF_PREDICTION = (feedback.c.problem == predictions.c.problem) & (
    feedback.c.prediction_id == predictions.c.prediction_id
)


def judged_predictions(
    connection: Connection,
    problem: str,
    version: str,
    mature_until: datetime,
    newest: int,
    with_features: bool = False,
) -> Sequence[Row[Any]]:
    """The newest mature predictions of a version with their labels, newest first."""
    inputs = (predictions.c.features, predictions.c.model_version) if with_features else ()
    return connection.execute(
        select(
            predictions.c.event_time,
            predictions.c.created_at,
            predictions.c.prediction,
            predictions.c.probabilities,
            feedback.c.actual,
            *inputs,
        )
        .join(feedback, OF_PREDICTION)
        .where(*_mature(problem, version, mature_until))
        .order_by(predictions.c.event_time.desc(), predictions.c.id.desc())
        .limit(newest)
    ).all()


def label_share(
    connection: Connection, problem: str, version: str, mature_until: datetime, newest: int
) -> float | None:
    """Share of a version's newest mature predictions whose label arrived; None without any."""
    asked = (
        select(predictions.c.problem, predictions.c.prediction_id)
        .where(*_mature(problem, version, mature_until))
        .order_by(predictions.c.event_time.desc(), predictions.c.id.desc())
        .limit(newest)
        .subquery()
    )
    total, labelled = connection.execute(
        select(func.count(), func.count(feedback.c.prediction_id))
        .select_from(asked)
        .outerjoin(
            feedback,
            (feedback.c.problem == asked.c.problem)
            & (feedback.c.prediction_id == asked.c.prediction_id),
        )
    ).one()
    return labelled / total if total else None


def arrived_labels(
    connection: Connection, problem: str, until: datetime, newest: int
) -> Sequence[Row[Any]]:
    """The labels that arrived last before a time, oldest first: when, and what."""
    rows = connection.execute(
        select(feedback.c.received_at, feedback.c.actual)
        .where(feedback.c.problem == problem, feedback.c.received_at < until)
        .order_by(feedback.c.id.desc())
        .limit(newest)
    ).all()
    oldest_first = rows[::-1]  # sorting is stable: of one time, the later id stays behind
    return sorted(oldest_first, key=lambda row: row.received_at)


def save_performance(connection: Connection, values: Mapping[str, Any]) -> bool:
    """Keep a measurement, one per run; False when the newest one says the same."""
    row = {"floor": None, "intervals": {}, "rivals": [], "slices": [], **values}
    before = latest_performance(connection, row["problem"])
    if before is not None and (
        before.run_id == row["run_id"] or all(getattr(before, k) == row[k] for k in TOLD)
    ):
        return False
    connection.execute(insert(performance_metrics).values(measured_at=datetime.now(UTC), **row))
    return True


def latest_performance(connection: Connection, problem: str) -> Row[Any] | None:
    """The newest measurement, or None."""
    return connection.execute(
        select(performance_metrics)
        .where(performance_metrics.c.problem == problem)
        .order_by(performance_metrics.c.id.desc())
        .limit(1)
    ).first()


def course_of_performance(
    connection: Connection, problem: str, newest: int
) -> Sequence[Mapping[str, Any]]:
    """The newest measurements as a series, oldest first: value, interval, floor, rivals."""
    rows = connection.execute(
        select(*(performance_metrics.c[name] for name in COURSE))
        .where(performance_metrics.c.problem == problem)
        .order_by(performance_metrics.c.id.desc())
        .limit(newest)
    ).mappings()
    return [dict(row) for row in reversed(rows.all())]


def _mature(problem: str, version: str, mature_until: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        predictions.c.problem == problem,
        predictions.c.model_version == version,
        predictions.c.event_time <= mature_until,
    )
