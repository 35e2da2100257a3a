"""Predictions and feedback as rows of SQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Table, select, text

from storage.database import reading, writing
from storage.outcomes import Outcome
from storage.records import FeedbackRecord, Label, PredictionRecord, SingleRecord
from storage.tables import feedback, predictions

DRAIN_LOCK = 7306
IDS_PER_QUERY = 500
ROWS_PER_STATEMENT = 50
DOCUMENTS = frozenset({"features", "prediction", "probabilities", "answer", "actual"})
TIMES = frozenset({"event_time", "created_at", "observed_at", "received_at"})
PREDICTION_COLUMNS = (
    "prediction_id",
    "problem",
    "model_version",
    "key",
    "event_time",
    "features",
    "prediction",
    "probabilities",
    "answer",
    "created_at",
)
FEEDBACK_COLUMNS = (
    "problem",
    "prediction_id",
    "actual",
    "observed_at",
    "received_at",
    "token_id",
)


def store_records(engine: Engine, records: Sequence[SingleRecord]) -> None:
    """Add records to SQL in their order, in one transaction; known ids are left as they are."""
    rows = [_prediction_row(record) for record in records if isinstance(record, PredictionRecord)]
    labels = [
        row
        for record in records
        if isinstance(record, FeedbackRecord)
        for row in _feedback_rows(record)
    ]
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            # One drainer at a time, so that feedback becomes visible in the order of its ids.
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": DRAIN_LOCK})
        _insert(connection, predictions, PREDICTION_COLUMNS, rows)
        _insert(connection, feedback, FEEDBACK_COLUMNS, labels)


def find_answers(
    engine: Engine, problem: str, prediction_ids: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """The stored answers of those of these predictions that SQL knows, by their ids."""
    found: dict[str, dict[str, Any]] = {}
    with reading(engine) as connection:
        for start in range(0, len(prediction_ids), IDS_PER_QUERY):
            query = select(predictions.c.prediction_id, predictions.c.answer).where(
                predictions.c.problem == problem,
                predictions.c.prediction_id.in_(prediction_ids[start : start + IDS_PER_QUERY]),
            )
            found |= {row.prediction_id: row.answer for row in connection.execute(query)}
    return found


def find_answer(engine: Engine, problem: str, prediction_id: str) -> bytes | None:
    """The body that was sent for a prediction, or None when there is no such prediction."""
    query = select(predictions.c.answer).where(
        predictions.c.problem == problem, predictions.c.prediction_id == prediction_id
    )
    with reading(engine) as connection:
        answer = connection.execute(query).scalar_one_or_none()
    return None if answer is None else msgspec.json.encode(answer)


def find_prediction(engine: Engine, problem: str, prediction_id: str) -> dict[str, Any] | None:
    """A stored prediction's columns, or None when there is no such prediction."""
    columns = [column for column in predictions.columns if column.name != "id"]
    query = select(*columns).where(
        predictions.c.problem == problem, predictions.c.prediction_id == prediction_id
    )
    with reading(engine) as connection:
        row = connection.execute(query).mappings().one_or_none()
    return None if row is None else dict(row)


def find_feedback(engine: Engine, problem: str, prediction_id: str) -> dict[str, Any] | None:
    """The feedback row of a prediction, or None before any."""
    columns = (feedback.c.actual, feedback.c.observed_at, feedback.c.received_at)
    query = select(*columns).where(
        feedback.c.problem == problem, feedback.c.prediction_id == prediction_id
    )
    with reading(engine) as connection:
        row = connection.execute(query).mappings().one_or_none()
    return None if row is None else dict(row)


def find_known(
    engine: Engine, problem: str, prediction_ids: Sequence[str]
) -> tuple[dict[str, Outcome], dict[str, Label]]:
    """Those of these predictions that are stored, and the labels already stored for them."""
    known: dict[str, Outcome] = {}
    labels: dict[str, Label] = {}
    with reading(engine) as connection:
        for ids in _portions(prediction_ids):
            stored = select(
                predictions.c.prediction_id,
                predictions.c.model_version,
                predictions.c.prediction,
                predictions.c.probabilities,
            ).where(predictions.c.problem == problem, predictions.c.prediction_id.in_(ids))
            known |= {name: Outcome(*rest) for name, *rest in connection.execute(stored)}
            given = select(feedback.c.prediction_id, feedback.c.actual).where(
                feedback.c.problem == problem, feedback.c.prediction_id.in_(ids)
            )
            labels |= {row.prediction_id: row.actual for row in connection.execute(given)}
    return known, labels


def _portions(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[start : start + IDS_PER_QUERY] for start in range(0, len(ids), IDS_PER_QUERY))


def _insert(
    connection: Connection, table: Table, columns: Sequence[str], rows: list[tuple[Any, ...]]
) -> None:
    """Insert rows, but none whose id is known.

    As text for the driver, with documents as JSON text already: what SQLAlchemy does for each
    value would be the larger part of an insert's work, taken from the requests.
    """
    if not rows:
        return
    is_sqlite = connection.dialect.name == "sqlite"
    marks = [
        "?" if is_sqlite else "%s::jsonb" if column in DOCUMENTS else "%s" for column in columns
    ]
    if not is_sqlite:
        connection.exec_driver_sql(_statement(table, columns, marks, 1), rows)
        return
    times = [place for place, column in enumerate(columns) if column in TIMES]
    rows = [_with_text_times(row, times) for row in rows]
    # Many rows in one statement: the driver lets go of the interpreter once for all of them. Row by
    # row it would fight for it with the requests, which is what they feel most of a drainer.
    for size in (ROWS_PER_STATEMENT, 1):
        statement = _statement(table, columns, marks, size)
        while len(rows) >= size:
            part, rows = rows[:size], rows[size:]
            connection.exec_driver_sql(statement, tuple(chain.from_iterable(part)))


def _statement(table: Table, columns: Sequence[str], marks: Sequence[str], n_rows: int) -> str:
    names = ", ".join(f'"{column}"' for column in columns)
    values = ", ".join([f"({', '.join(marks)})"] * n_rows)
    return (
        f"INSERT INTO {table.name} ({names}) VALUES {values} "  # noqa: S608
        "ON CONFLICT (problem, prediction_id) DO NOTHING"
    )


def _with_text_times(row: tuple[Any, ...], places: Sequence[int]) -> tuple[Any, ...]:
    """The row as SQLAlchemy writes times to SQLite."""
    values = list(row)
    for place in places:
        values[place] = f"{values[place]:%Y-%m-%d %H:%M:%S.%f}"
    return tuple(values)


def _prediction_row(record: PredictionRecord) -> tuple[Any, ...]:
    features = record.features
    return (
        record.prediction_id,
        record.problem,
        record.model_version,
        record.key,
        _utc(record.event_time),
        features.decode() if isinstance(features, bytes) else _json(features),
        _json(record.prediction),
        None if record.probabilities is None else _json(record.probabilities),
        record.answer.decode(),
        _utc(record.created_at),
    )


def _feedback_rows(record: FeedbackRecord) -> list[tuple[Any, ...]]:
    return [
        (
            record.problem,
            item.prediction_id,
            _json(item.actual),
            _utc(item.observed_at),
            _utc(record.received_at),
            record.token_id,
        )
        for item in record.items
    ]


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("found a time without a zone; expected aware UTC")
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
