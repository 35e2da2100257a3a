"""How much came in lately: predictions and batches over time, without reading any row whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, select

from storage.tables import batches, feedback, predictions

LONGEST = timedelta(days=30)
SHORTEST = timedelta(minutes=30)


@dataclass(frozen=True)
class Volume:
    """How many predictions happened from ``start`` on, for the length of a bar."""

    start: datetime
    n_rows: int


def newest_prediction(connection: Connection, problem: str) -> datetime | None:
    """The event time of the newest prediction, None before the first."""
    found: datetime | None = connection.execute(
        select(func.max(predictions.c.event_time)).where(predictions.c.problem == problem)
    ).scalar_one()
    return found


def newest_answer(connection: Connection, problem: str) -> datetime | None:
    """When the prediction with the newest event time was answered, None before the first.

    Its event time says less where rows of the past are replayed.
    """
    found: datetime | None = connection.execute(
        select(predictions.c.created_at)
        .where(predictions.c.problem == problem)
        .order_by(predictions.c.event_time.desc())
        .limit(1)
    ).scalar_one_or_none()
    return found


def prediction_volumes(connection: Connection, problem: str, n_bars: int = 30) -> list[Volume]:
    """Predictions by event time in equal bars up to the newest, over at most `LONGEST`.

    Read from the index alone: an entry is counted once. Empty before the first prediction.
    """
    newest = newest_prediction(connection, problem)
    if newest is None:
        return []
    first = connection.execute(
        select(func.min(predictions.c.event_time)).where(predictions.c.problem == problem)
    ).scalar_one()
    length = min(max(newest - first, SHORTEST), LONGEST) / n_bars
    starts = [newest - length * (n_bars - place) for place in range(n_bars)]
    return [Volume(start, _between(connection, problem, start, start + length)) for start in starts]


def _between(connection: Connection, problem: str, after: datetime, until: datetime) -> int:
    return connection.execute(
        select(func.count()).where(
            predictions.c.problem == problem,
            predictions.c.event_time > after,
            predictions.c.event_time <= until,
        )
    ).scalar_one()


def newest_batches(connection: Connection, problem: str, newest: int) -> Sequence[Row[Any]]:
    """The newest batches, newest first: source, state, reason and counts."""
    return connection.execute(
        select(
            batches.c.batch_id,
            batches.c.source,
            batches.c.state,
            batches.c.reason,
            batches.c.n_rows,
            batches.c.n_quarantined,
            batches.c.ingested_at,
        )
        .where(batches.c.problem == problem)
        .order_by(batches.c.ingested_at.desc())
        .limit(newest)
    ).all()


def newest_label(connection: Connection, problem: str) -> datetime | None:
    """When the newest feedback arrived, None before the first."""
    return connection.execute(
        select(feedback.c.received_at)
        .where(feedback.c.problem == problem)
        .order_by(feedback.c.id.desc())
        .limit(1)
    ).scalar_one_or_none()


def count_ingested(connection: Connection, problem: str, enough: int) -> int:
    """Rows in ingested batches; at least ``enough`` where there are that many or more."""
    some = (
        select(batches.c.n_rows)
        .where(batches.c.problem == problem, batches.c.state == "ingested", batches.c.n_rows > 0)
        .limit(enough)
        .subquery()
    )
    return int(connection.execute(select(func.coalesce(func.sum(some.c.n_rows), 0))).scalar_one())
