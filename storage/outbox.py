"""Alerts at rest: written in the transaction of what they tell, delivered later.

An alert is told at least once: a process that dies between the channel's answer and
`mark_sent` tells it again, under the same event id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, exists, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from learning.alert import Alert, Severity, clean, judge
from storage.incidents import count_repeat, is_turned, last_of_incident
from storage.tables import alerts

EVENT_ID_LENGTH = 128
ERROR_LENGTH = 300


@dataclass(frozen=True)
class Entry:
    """An alert as it stands in the outbox; ``state`` is waiting, sent, logged or dropped."""

    id: int
    event_id: str
    problem: str
    alert: Alert
    repeats: int
    state: str
    attempts: int
    last_error: str | None
    clock: datetime | None
    created_at: datetime
    not_before: datetime
    sent_at: datetime | None


def post(
    connection: Connection,
    problem: str,
    alert: Alert,
    event_id: str,
    now: datetime,
    clock: datetime | None = None,
) -> bool:
    """Whether a new message will be told; False when it is known, counted as a repeat or moot.

    Written in the caller's transaction. ``now`` is the wall clock that people live by, ``clock``
    the time of the data. The same event id twice adds nothing.
    """
    event_id = _short(event_id)
    if connection.scalar(select(alerts.c.id).where(alerts.c.event_id == event_id)) is not None:
        return False
    last = last_of_incident(connection, problem, alert)
    if last is not None and event_id in last.repeat_ids:
        return False
    age = None if last is None else (now - last.created_at).total_seconds()
    verdict = judge(alert.kind, age, is_turned(connection, problem, alert, last))
    if verdict == "nothing":
        return False
    if last is not None and verdict == "repeat":
        count_repeat(connection, last, event_id)
        return False
    if last is not None and verdict == "still_open":
        fields = {**alert.fields, "Repeats since the last message": last.repeats}
        alert = replace(alert, title=f"Still open: {alert.title}", fields=fields)
    return _insert(connection, problem, alert, event_id, now, clock)


def due(connection: Connection, now: datetime | None, limit: int = 50) -> list[Entry]:
    """Waiting alerts that may be told now, oldest first; ``now`` None asks for all that wait.

    An alert waits for the older ones of its problem, so that a story is told in its order.
    """
    query = select(alerts).where(alerts.c.state == "waiting").order_by(alerts.c.id).limit(limit)
    if now is not None:
        older = alerts.alias()
        is_held = exists().where(
            older.c.problem == alerts.c.problem,
            older.c.state == "waiting",
            older.c.id < alerts.c.id,
            older.c.not_before > now,
        )
        query = query.where(alerts.c.not_before <= now, ~is_held)
    return [_entry(row) for row in connection.execute(query)]


def claim(connection: Connection, entry: Entry, until: datetime) -> bool:
    """Whether the alert is now this process's to tell; others leave it alone until ``until``."""
    return _settle(connection, entry.id, {"not_before": until}, entry.not_before)


def mark_sent(connection: Connection, alert_id: int, now: datetime) -> bool:
    """Whether the alert was waiting and now counts as sent."""
    values = {"state": "sent", "sent_at": now, "last_error": None}
    return _settle(connection, alert_id, values)


def mark_retry(
    connection: Connection, alert_id: int, not_before: datetime, error: str, n_attempts: int = 1
) -> bool:
    """Whether the alert waits on until ``not_before``, with ``n_attempts`` more against it."""
    values = {
        "not_before": not_before,
        "last_error": error[:ERROR_LENGTH],
        "attempts": alerts.c.attempts + n_attempts,
    }
    return _settle(connection, alert_id, values)


def mark_logged(connection: Connection, alert_id: int, now: datetime, why: str | None) -> bool:
    """Whether the alert was waiting and is now told by the log alone; ``why`` not by a channel."""
    values = {"state": "logged", "sent_at": now, "last_error": why}
    return _settle(connection, alert_id, values)


def mark_dropped(connection: Connection, alert_id: int, error: str) -> bool:
    """Whether the alert was waiting and is now given up."""
    values = {"state": "dropped", "last_error": error[:ERROR_LENGTH]}
    return _settle(connection, alert_id, values)


def count_waiting(connection: Connection) -> int:
    """How many alerts wait to be told."""
    query = select(func.count()).select_from(alerts).where(alerts.c.state == "waiting")
    return int(connection.scalar(query) or 0)


def latest(connection: Connection, problem: str, n: int = 10) -> list[Entry]:
    """The newest ``n`` alerts of a problem, newest first, whatever became of them."""
    query = select(alerts).where(alerts.c.problem == problem).order_by(alerts.c.id.desc()).limit(n)
    return [_entry(row) for row in connection.execute(query)]


def _short(event_id: str) -> str:
    event_id = clean(event_id)
    if len(event_id) <= EVENT_ID_LENGTH:
        return event_id
    return hashlib.sha256(event_id.encode("utf-8", "replace")).hexdigest()


def _insert(
    connection: Connection,
    problem: str,
    alert: Alert,
    event_id: str,
    now: datetime,
    clock: datetime | None,
) -> bool:
    values: dict[str, Any] = {
        **vars(alert),
        "event_id": event_id,
        "problem": problem,
        "repeats": 0,
        "repeat_ids": [],
        "state": "waiting",
        "attempts": 0,
        "clock": clock,
        "created_at": now,
        "not_before": now,
    }
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(alerts).values(values).on_conflict_do_nothing(index_elements=["event_id"])
    return connection.scalar(statement.returning(alerts.c.id)) is not None


def _settle(
    connection: Connection,
    alert_id: int,
    values: Mapping[str, Any],
    seen_not_before: datetime | None = None,
) -> bool:
    statement = update(alerts).where(alerts.c.id == alert_id, alerts.c.state == "waiting")
    if seen_not_before is not None:
        statement = statement.where(alerts.c.not_before == seen_not_before)
    return connection.execute(statement.values(dict(values))).rowcount == 1


def _entry(row: Row[Any]) -> Entry:
    severity: Severity = row.severity
    return Entry(
        id=row.id,
        event_id=row.event_id,
        problem=row.problem,
        alert=Alert(row.kind, severity, row.title, row.text, row.fields, row.incident),
        repeats=row.repeats,
        state=row.state,
        attempts=row.attempts,
        last_error=row.last_error,
        clock=row.clock,
        created_at=row.created_at,
        not_before=row.not_before,
        sent_at=row.sent_at,
    )
