"""What was last told of an incident, and how often it repeated since."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, select, update

from learning.alert import OPEN, TROUBLE, Alert, chain
from storage.tables import alerts

# Steps are repeated soon or never: enough to know a repeat that is posted twice.
REPEAT_IDS_KEPT = 50


def last_of_incident(connection: Connection, problem: str, alert: Alert) -> Row[Any] | None:
    """The newest message of the alert's incident, or None when there is none to repeat."""
    if alert.incident is None:
        return None
    # PostgreSQL: two repeats must both be counted.
    query = _messages(problem, alert.kind, alert.incident).limit(1).with_for_update()
    return connection.execute(query).first()


def opened_at(connection: Connection, problem: str, alert: Alert) -> datetime | None:
    """When the alert's incident was last told as opened, None when it never was."""
    if alert.incident is None:
        return None
    query = _messages(problem, alert.kind, alert.incident).where(alerts.c.phase == "opened")
    row = connection.execute(query.limit(1)).first()
    return None if row is None else row.created_at


def is_troubled(connection: Connection, problem: str) -> bool:
    """Whether an incident that calm would contradict is open."""
    for kind in TROUBLE:
        row = connection.execute(_messages(problem, kind).limit(1)).first()
        if row is not None and row.phase in OPEN:
            return True
    return False


def count_repeat(connection: Connection, last: Row[Any], event_id: str) -> None:
    """Count one more repeat on a message, remembering the event it came from."""
    ids = [*last.repeat_ids, event_id][-REPEAT_IDS_KEPT:]
    values = {"repeats": last.repeats + 1, "repeat_ids": ids}
    connection.execute(update(alerts).where(alerts.c.id == last.id).values(values))


def _messages(problem: str, kind: str, incident: str | None = None) -> Select[Any]:
    """All messages of an incident, the newest first."""
    query = select(alerts).where(alerts.c.problem == problem, alerts.c.kind.in_(chain(kind)))
    if incident is not None:
        query = query.where(alerts.c.incident == incident)
    return query.order_by(alerts.c.id.desc())
