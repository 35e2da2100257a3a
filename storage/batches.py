"""Batches that were ingested or refused, and what feedback they claim."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from storage.tables import batches, feedback, predictions


def is_ingested(connection: Connection, problem: str, batch_id: str) -> bool:
    """Whether this batch was ingested before; a refused one may be tried again."""
    return _state(connection, problem, batch_id) == "ingested"


def record_batch(connection: Connection, values: dict[str, Any]) -> bool:
    """Record a batch, in place of its own earlier refusal; False when it was ingested before."""
    row = {"watermark": None, "data_version": None, "reason": None, **values}
    row["ingested_at"] = datetime.now(UTC)
    match _state(connection, row["problem"], row["batch_id"]):
        case "ingested":
            return False
        case "refused":
            mine = (
                batches.c.problem == row["problem"],
                batches.c.batch_id == row["batch_id"],
            )
            connection.execute(update(batches).where(*mine).values(row))
        case _:
            connection.execute(insert(batches).values(row))
    return True


def _state(connection: Connection, problem: str, batch_id: str) -> str | None:
    state: str | None = connection.execute(
        select(batches.c.state).where(batches.c.problem == problem, batches.c.batch_id == batch_id)
    ).scalar_one_or_none()
    return state


def watermark(connection: Connection, problem: str, source: str) -> int:
    """How far a source was read; 0 before its first batch."""
    found = connection.execute(
        select(func.max(batches.c.watermark)).where(
            batches.c.problem == problem, batches.c.source == source
        )
    ).scalar_one()
    return int(found or 0)


def claim_feedback(connection: Connection, problem: str, batch_id: str, limit: int) -> None:
    """Give up to ``limit`` feedback rows that no batch has taken to this batch.

    The claim is committed before the rows are copied, so that a crash in between repeats the very
    same batch instead of taking a few rows twice.
    """
    free = (
        select(feedback.c.id)
        .where(feedback.c.problem == problem, feedback.c.batch_id.is_(None))
        .order_by(feedback.c.id)
        .limit(limit)
    )
    connection.execute(
        update(feedback).where(feedback.c.id.in_(free.scalar_subquery())).values(batch_id=batch_id)
    )


def unfinished_claims(connection: Connection, problem: str) -> list[str]:
    """Batches that have claimed feedback but were never recorded."""
    done = select(batches.c.batch_id).where(batches.c.problem == problem)
    found = connection.execute(
        select(feedback.c.batch_id)
        .where(
            feedback.c.problem == problem,
            feedback.c.batch_id.is_not(None),
            feedback.c.batch_id.not_in(done),
        )
        .distinct()
    )
    return sorted(found.scalars())


def claimed_feedback(connection: Connection, problem: str, batch_id: str) -> Sequence[Row[Any]]:
    """The claimed labels with the predictions they belong to, in order of arrival."""
    return connection.execute(
        select(
            feedback.c.prediction_id,
            feedback.c.actual,
            feedback.c.observed_at,
            predictions.c.key,
            predictions.c.event_time,
            predictions.c.features,
            predictions.c.model_version,
        )
        .join(
            predictions,
            (predictions.c.problem == feedback.c.problem)
            & (predictions.c.prediction_id == feedback.c.prediction_id),
        )
        .where(feedback.c.problem == problem, feedback.c.batch_id == batch_id)
        .order_by(feedback.c.id)
    ).all()
