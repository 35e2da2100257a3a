"""What was last told of an incident, and how often it repeated since."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, and_, select, update

from learning.alert import OPPOSITES, Alert
from storage.tables import alerts

# Steps are repeated soon or never: enough to know a repeat that is posted twice.
REPEAT_IDS_KEPT = 50


def last_of_incident(connection: Connection, problem: str, alert: Alert) -> Row[Any] | None:
    """The newest message of the alert's incident, or None when there is none to repeat."""
    if alert.incident is None:
        return None
    query = (
        select(alerts)
        .where(
            alerts.c.problem == problem,
            alerts.c.kind == alert.kind,
            alerts.c.incident == alert.incident,
        )
        .order_by(alerts.c.id.desc())
        .limit(1)
        .with_for_update()  # PostgreSQL: two repeats must both be counted
    )
    return connection.execute(query).first()


def is_turned(connection: Connection, problem: str, alert: Alert, last: Row[Any] | None) -> bool:
    """Whether the opposite of the alert was told since ``last`` (None: ever)."""
    opposites = OPPOSITES.get(alert.kind, ())
    if not opposites:
        return False
    condition = and_(alerts.c.problem == problem, alerts.c.kind.in_(opposites))
    if last is not None:
        condition = and_(condition, alerts.c.id > last.id)
    if alert.kind in {"failed", "recovered"}:
        condition = and_(condition, alerts.c.incident == alert.incident)
    return connection.scalar(select(alerts.c.id).where(condition).limit(1)) is not None


def count_repeat(connection: Connection, last: Row[Any], event_id: str) -> None:
    """Count one more repeat on a message, remembering the event it came from."""
    ids = [*last.repeat_ids, event_id][-REPEAT_IDS_KEPT:]
    values = {"repeats": last.repeats + 1, "repeat_ids": ids}
    connection.execute(update(alerts).where(alerts.c.id == last.id).values(values))
