"""Alerts at rest: written in the transaction of what they tell, delivered later.

Each channel has its own place: a row in `deliveries` per alert and channel. An alert is told at
least once: a process that dies between the channel's answer and the note of it tells it again,
under the same event id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from learning.alert import Alert, FieldValue, Phase, Severity, Told, clean, judge
from learning.alert_rules import AlertRules
from storage.incidents import count_repeat, is_troubled, last_of_incident, opened_at
from storage.tables import alerts, deliveries

EVENT_ID_LENGTH = 128
DEFAULT_RULES = AlertRules()
PREFIXES: dict[Phase, str] = {"worse": "Worse: ", "still_open": "Still open: "}


@dataclass(frozen=True)
class Entry:
    """An alert as it stands in the outbox; ``state`` is waiting, sent, logged or dropped."""

    id: int
    event_id: str
    problem: str
    alert: Alert
    phase: Phase
    repeats: int
    state: str
    clock: datetime | None
    created_at: datetime


def post(
    connection: Connection,
    problem: str,
    alert: Alert,
    event_id: str,
    now: datetime,
    clock: datetime | None = None,
    rules: AlertRules = DEFAULT_RULES,
) -> bool:
    """Whether a new message will be told; False when it is known, counted as a repeat or moot.

    Written in the caller's transaction. ``now`` is the wall clock that people live by, ``clock``
    the time of the data. The same event id twice adds nothing. What closes an incident goes to
    the channels that its severity went to.
    """
    event_id = _short(event_id)
    if connection.scalar(select(alerts.c.id).where(alerts.c.event_id == event_id)) is not None:
        return False
    last = last_of_incident(connection, problem, alert)
    if last is not None and event_id in last.repeat_ids:
        return False
    if alert.kind == "all_well" and is_troubled(connection, problem):
        return False
    verdict = judge(alert, _told(last, now), rules.still_open_seconds)
    if verdict == "nothing":
        return False
    if verdict == "repeat":
        if last is not None:
            count_repeat(connection, last, event_id)
        return False
    if verdict in ("worse", "still_open", "closed") and last is not None:
        alert = _continued(connection, problem, alert, verdict, last, now)
    severity = last.severity if verdict == "closed" and last is not None else alert.severity
    routes = set(rules.channels(severity)) | set(rules.channels(alert.severity))
    return _insert(connection, problem, alert, verdict, event_id, now, clock, sorted(routes))


def phase_told(connection: Connection, event_id: str) -> Phase:
    """The phase in which an alert was posted: an event by itself, or where its incident stood."""
    query = select(alerts.c.phase).where(alerts.c.event_id == _short(event_id))
    phase: Phase = connection.execute(query).scalar_one()
    return phase


def unsettled(connection: Connection, limit: int) -> list[Entry]:
    """Alerts that count as waiting though no channel has them waiting any more, oldest first."""
    held = (
        select(deliveries.c.alert_id)
        .where(deliveries.c.alert_id == alerts.c.id, deliveries.c.state == "waiting")
        .exists()
    )
    query = select(alerts).where(alerts.c.state == "waiting", ~held)
    return [entry_of(row) for row in connection.execute(query.order_by(alerts.c.id).limit(limit))]


def count_waiting(connection: Connection, channels: Sequence[str] | None = None) -> int:
    """How many alerts wait to be told; with ``channels``, by these alone."""
    query = select(func.count()).select_from(alerts).where(alerts.c.state == "waiting")
    if channels is not None:
        query = select(func.count(func.distinct(deliveries.c.alert_id))).where(
            deliveries.c.state == "waiting", deliveries.c.channel.in_(channels)
        )
    return int(connection.scalar(query) or 0)


def latest(connection: Connection, problem: str, n: int = 10) -> list[Entry]:
    """The newest ``n`` alerts of a problem, newest first, whatever became of them."""
    query = select(alerts).where(alerts.c.problem == problem).order_by(alerts.c.id.desc()).limit(n)
    return [entry_of(row) for row in connection.execute(query)]


def entry_of(row: Row[Any]) -> Entry:
    """The alert of a row of the table."""
    severity: Severity = row.severity
    return Entry(
        id=row.id,
        event_id=row.event_id,
        problem=row.problem,
        alert=Alert(
            row.kind, severity, row.title, row.text, row.fields, row.incident, level=row.level
        ),
        phase=row.phase,
        repeats=row.repeats,
        state=row.state,
        clock=row.clock,
        created_at=row.created_at,
    )


def _told(last: Row[Any] | None, now: datetime) -> Told | None:
    if last is None:
        return None
    return Told(last.phase, (now - last.created_at).total_seconds(), last.level)


def _continued(
    connection: Connection,
    problem: str,
    alert: Alert,
    phase: Phase,
    last: Row[Any],
    now: datetime,
) -> Alert:
    """The alert as a further message of an incident: since when, how often meanwhile."""
    more: dict[str, FieldValue] = {}
    since = opened_at(connection, problem, alert)
    if since is not None:
        more["Open for" if phase != "closed" else "Lasted"] = _spoken(now - since)
    if last.repeats:
        more["Repeats since the last message"] = last.repeats
    title = PREFIXES.get(phase, "") + alert.title
    return replace(alert, title=title, fields={**alert.fields, **more})


def _spoken(length: timedelta) -> str:
    minutes = max(0, round(length.total_seconds() / 60))
    days, rest = divmod(minutes, 24 * 60)
    hours, minutes = divmod(rest, 60)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _short(event_id: str) -> str:
    event_id = clean(event_id)
    if len(event_id) <= EVENT_ID_LENGTH:
        return event_id
    return hashlib.sha256(event_id.encode("utf-8", "replace")).hexdigest()


def _insert(
    connection: Connection,
    problem: str,
    alert: Alert,
    phase: Phase,
    event_id: str,
    now: datetime,
    clock: datetime | None,
    routes: Sequence[str],
) -> bool:
    columns = ("kind", "severity", "title", "text", "fields", "incident", "level")
    values: dict[str, Any] = {
        **{name: getattr(alert, name) for name in columns},
        "event_id": event_id,
        "problem": problem,
        "phase": phase,
        "repeats": 0,
        "repeat_ids": [],
        "state": "waiting",
        "clock": clock,
        "created_at": now,
    }
    upsert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = upsert(alerts).values(values).on_conflict_do_nothing(index_elements=["event_id"])
    alert_id = connection.scalar(statement.returning(alerts.c.id))
    if alert_id is None:
        return False
    for channel in routes:
        row = {"alert_id": alert_id, "channel": channel, "state": "waiting", "not_before": now}
        connection.execute(insert(deliveries).values(row))
    return True
