"""Predictions and feedback: as records of the journal, and as rows of SQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Table, Text, bindparam, cast, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB

from storage.database import reading, writing
from storage.encoding import Value
from storage.prediction_batches import BatchRecord, expand
from storage.tables import feedback, predictions

DRAIN_LOCK = 7306
IDS_PER_QUERY = 500
DOCUMENTS = ("features", "prediction", "probabilities", "answer")

Label = int | float | str


class PredictionRecord(msgspec.Struct, tag="p", array_like=True, frozen=True, gc=False):
    """One answered prediction. ``answer`` is the JSON body that was sent."""

    problem: str
    prediction_id: str
    model_version: str
    key: str | None
    event_time: datetime
    features: list[Value]
    prediction: Label
    probabilities: list[float] | None
    answer: bytes
    created_at: datetime


class FeedbackItem(msgspec.Struct, array_like=True, frozen=True):
    """What really happened to one prediction."""

    prediction_id: str
    actual: Label
    observed_at: datetime


class FeedbackRecord(msgspec.Struct, tag="f", array_like=True, frozen=True):
    """The feedback of one request: all of it is kept, or nothing."""

    problem: str
    items: list[FeedbackItem]
    token_id: str | None
    received_at: datetime


SingleRecord = PredictionRecord | FeedbackRecord
Record = SingleRecord | BatchRecord

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


def encode_record(record: Record) -> bytes:
    """A record as the journal keeps it."""
    return _encoder.encode(record)


def decode_record(payload: bytes) -> Record:
    """A record from the journal's bytes.

    Raises msgspec.MsgspecError when they are not one.
    """
    record: Record = _decoder.decode(payload)
    return record


def flatten(record: Record) -> list[SingleRecord]:
    """The record itself, or one for each prediction of a batch."""
    if isinstance(record, BatchRecord):
        return [PredictionRecord(**fields) for fields in expand(record)]
    return [record]


def decode_prediction(payload: bytes, prediction_id: str) -> PredictionRecord:
    """One prediction from the bytes of the record that holds it, alone or in a batch."""
    record = decode_record(payload)
    if isinstance(record, BatchRecord):
        return PredictionRecord(**next(expand(record, prediction_id)))
    assert isinstance(record, PredictionRecord)
    return record


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
        _insert(
            connection, predictions, rows, ("features", "prediction", "probabilities", "answer")
        )
        _insert(connection, feedback, labels, ("actual",))


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
) -> tuple[set[str], dict[str, Label]]:
    """Which of these predictions are stored, and the labels already stored for them."""
    known: set[str] = set()
    labels: dict[str, Label] = {}
    with reading(engine) as connection:
        for ids in _portions(prediction_ids):
            known |= set(
                connection.execute(
                    select(predictions.c.prediction_id).where(
                        predictions.c.problem == problem, predictions.c.prediction_id.in_(ids)
                    )
                ).scalars()
            )
            given = select(feedback.c.prediction_id, feedback.c.actual).where(
                feedback.c.problem == problem, feedback.c.prediction_id.in_(ids)
            )
            labels |= {row.prediction_id: row.actual for row in connection.execute(given)}
    return known, labels


def _portions(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[start : start + IDS_PER_QUERY] for start in range(0, len(ids), IDS_PER_QUERY))


def _insert(
    connection: Connection, table: Table, rows: list[dict[str, Any]], documents: tuple[str, ...]
) -> None:
    """Insert rows whose ``documents`` are JSON text already, but none whose id is known.

    Passing text saves SQLAlchemy's own encoding, the larger part of an insert's work.
    """
    if not rows:
        return
    is_postgres = connection.dialect.name == "postgresql"
    statement: Any = (postgresql if is_postgres else sqlite).insert(table)
    values: dict[str, Any] = {}
    for parameter in rows[0]:
        name = parameter.removeprefix("p_")
        values[name] = bindparam(parameter, type_=table.c[name].type)
        if name in documents:
            text_value = bindparam(parameter, type_=Text)
            values[name] = cast(text_value, JSONB) if is_postgres else text_value
    statement = statement.values(values).on_conflict_do_nothing(
        index_elements=["problem", "prediction_id"]
    )
    connection.execute(statement, rows)


def _prediction_row(record: PredictionRecord) -> dict[str, Any]:
    return {
        "p_prediction_id": record.prediction_id,
        "p_problem": record.problem,
        "p_model_version": record.model_version,
        "p_key": record.key,
        "p_event_time": record.event_time.astimezone(UTC),
        "p_features": _json(record.features),
        "p_prediction": _json(record.prediction),
        "p_probabilities": None if record.probabilities is None else _json(record.probabilities),
        "p_answer": record.answer.decode(),
        "p_created_at": record.created_at,
    }


def _feedback_rows(record: FeedbackRecord) -> list[dict[str, Any]]:
    return [
        {
            "p_problem": record.problem,
            "p_prediction_id": item.prediction_id,
            "p_actual": _json(item.actual),
            "p_observed_at": item.observed_at.astimezone(UTC),
            "p_received_at": record.received_at,
            "p_token_id": record.token_id,
        }
        for item in record.items
    ]


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
