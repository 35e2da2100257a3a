"""Performance estimated without labels, and what the labels said of it when they came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from storage.database import insert_missing
from storage.performance import OF_PREDICTION
from storage.tables import feedback, performance_estimates, predictions


def served_predictions(
    connection: Connection, problem: str, version: str, newest: int, with_features: bool
) -> Sequence[Row[Any]]:
    """The predictions that a version answered last, newest first, labels or not."""
    inputs = (predictions.c.features, predictions.c.model_version) if with_features else ()
    return connection.execute(
        select(predictions.c.id, predictions.c.prediction, predictions.c.probabilities, *inputs)
        .where(predictions.c.problem == problem, predictions.c.model_version == version)
        .order_by(predictions.c.id.desc())
        .limit(newest)
    ).all()


def count_served(connection: Connection, problem: str, version: str, after_id: int) -> int:
    """How many predictions a version answered since one of them."""
    return connection.execute(
        select(func.count()).where(
            predictions.c.problem == problem,
            predictions.c.model_version == version,
            predictions.c.id > after_id,
        )
    ).scalar_one()


def save_estimate(connection: Connection, values: Mapping[str, Any]) -> None:
    """Keep an estimate; one per run."""
    row = {**values, "estimated_at": datetime.now(UTC)}
    insert_missing(connection, performance_estimates, row, ("run_id",))


def latest_estimate(connection: Connection, problem: str, version: str) -> Row[Any] | None:
    """The newest estimate of a version, or None."""
    table = performance_estimates
    return connection.execute(
        select(table)
        .where(table.c.problem == problem, table.c.model_version == version)
        .order_by(table.c.id.desc())
        .limit(1)
    ).first()


def open_estimates(connection: Connection, problem: str, newest: int) -> Sequence[Row[Any]]:
    """The newest estimates that were not compared with their labels yet, oldest first."""
    table = performance_estimates
    return connection.execute(
        select(table)
        .where(table.c.problem == problem, table.c.settled_at.is_(None), table.c.value.is_not(None))
        .order_by(table.c.id.desc())
        .limit(newest)
    ).all()[::-1]


def labels_of(connection: Connection, estimate: Row[Any]) -> Sequence[Row[Any]]:
    """The predictions that an estimate is about whose label is known by now."""
    return connection.execute(
        select(predictions.c.prediction, predictions.c.probabilities, feedback.c.actual)
        .join(feedback, OF_PREDICTION)
        .where(
            predictions.c.problem == estimate.problem,
            predictions.c.model_version == estimate.model_version,
            predictions.c.id.between(estimate.oldest_id, estimate.newest_id),
        )
    ).all()


def count_labels_of(connection: Connection, estimate: Row[Any]) -> int:
    """How many of the predictions that an estimate is about have their label by now."""
    return connection.execute(
        select(func.count())
        .select_from(predictions)
        .join(feedback, OF_PREDICTION)
        .where(
            predictions.c.problem == estimate.problem,
            predictions.c.model_version == estimate.model_version,
            predictions.c.id.between(estimate.oldest_id, estimate.newest_id),
        )
    ).scalar_one()


def settle(connection: Connection, estimate_id: int, realised: float | None, n_rows: int) -> None:
    """Write what the labels said beside what was estimated; None where they said nothing."""
    table = performance_estimates
    known = connection.execute(select(table).where(table.c.id == estimate_id)).one()
    compared = (
        {}
        if realised is None
        else {
            "realised": realised,
            "error": realised - known.value,
            "is_covered": bool(known.low <= realised <= known.high),
        }
    )
    connection.execute(
        update(table)
        .where(table.c.id == estimate_id)
        .values(realised_rows=n_rows, settled_at=datetime.now(UTC), **compared)
    )


def settled_estimates(connection: Connection, problem: str, newest: int) -> Sequence[Row[Any]]:
    """The newest estimates beside what their labels said, newest first."""
    table = performance_estimates
    return connection.execute(
        select(table)
        .where(table.c.problem == problem, table.c.realised.is_not(None))
        .order_by(table.c.id.desc())
        .limit(newest)
    ).all()


def course_of_estimates(connection: Connection, problem: str, newest: int) -> Sequence[Row[Any]]:
    """The newest estimates as a series, oldest first, compared with their labels or not."""
    table = performance_estimates
    return connection.execute(
        select(table)
        .where(table.c.problem == problem, table.c.value.is_not(None))
        .order_by(table.c.id.desc())
        .limit(newest)
    ).all()[::-1]
