"""What each channel still has to tell, in order, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, exists, select, update

from storage.outbox import Entry, entry_of
from storage.tables import alerts, deliveries

ERROR_LENGTH = 300


@dataclass(frozen=True)
class Delivery:
    """An alert's place in one channel; ``state`` is waiting, sent, off or dropped."""

    entry: Entry
    channel: str
    state: str
    attempts: int
    last_error: str | None
    not_before: datetime
    sent_at: datetime | None


def due(
    connection: Connection, channel: str, now: datetime | None, limit: int = 50
) -> list[Delivery]:
    """What a channel may tell now, oldest first; ``now`` None asks for all that waits.

    An alert waits for the older ones of its problem, so that a story is told in its order.
    """
    query = _joined().where(deliveries.c.channel == channel, deliveries.c.state == "waiting")
    if now is not None:
        older, told = alerts.alias(), deliveries.alias()
        is_held = exists().where(
            older.c.id == told.c.alert_id,
            told.c.channel == channel,
            told.c.state == "waiting",
            told.c.not_before > now,
            older.c.problem == alerts.c.problem,
            older.c.id < alerts.c.id,
        )
        query = query.where(deliveries.c.not_before <= now, ~is_held)
    return _read(connection, query.order_by(alerts.c.id).limit(limit))


def deliveries_of(connection: Connection, alert_id: int) -> list[Delivery]:
    """The places of one alert in all channels, by the channel's name."""
    query = _joined().where(deliveries.c.alert_id == alert_id).order_by(deliveries.c.channel)
    return _read(connection, query)


def claim(connection: Connection, delivery: Delivery, until: datetime) -> bool:
    """Whether the alert is now this process's to tell; others leave it alone until ``until``."""
    return _settle(connection, delivery, {"not_before": until}, delivery.not_before)


def mark_sent(connection: Connection, delivery: Delivery, now: datetime) -> bool:
    """Whether the alert was waiting and now counts as sent."""
    return _settle(connection, delivery, {"state": "sent", "sent_at": now, "last_error": None})


def mark_retry(
    connection: Connection,
    delivery: Delivery,
    not_before: datetime,
    error: str,
    n_attempts: int = 1,
) -> bool:
    """Whether the alert waits on until ``not_before``, with ``n_attempts`` more against it."""
    values = {
        "not_before": not_before,
        "last_error": error[:ERROR_LENGTH],
        "attempts": deliveries.c.attempts + n_attempts,
    }
    return _settle(connection, delivery, values)


def mark_dropped(connection: Connection, delivery: Delivery, error: str) -> bool:
    """Whether the alert was waiting and is now given up."""
    values = {"state": "dropped", "last_error": error[:ERROR_LENGTH]}
    return _settle(connection, delivery, values)


def switch_off(connection: Connection, channel: str, why: str | None) -> int:
    """Let nothing wait for a channel that is off; returns how many did."""
    waits = (deliveries.c.channel == channel, deliveries.c.state == "waiting")
    values = {"state": "off", "last_error": why}
    return connection.execute(update(deliveries).where(*waits).values(values)).rowcount


def settle_alert(connection: Connection, entry: Entry) -> tuple[str, str | None] | None:
    """The state that an alert's deliveries add up to, and why it is no better; None if known.

    Sent by one channel is sent; told by none, it is ``logged``, or ``dropped`` when given up.
    """
    found = deliveries_of(connection, entry.id)
    states = {delivery.state for delivery in found}
    state = next((one for one in ("waiting", "sent", "dropped") if one in states), "logged")
    values = {"state": state}
    statement = update(alerts).where(alerts.c.id == entry.id, alerts.c.state == "waiting")
    if state == "waiting" or connection.execute(statement.values(values)).rowcount != 1:
        return None
    why = "; ".join(dict.fromkeys(one.last_error for one in found if one.last_error))
    return state, why or None


def _joined() -> Any:
    return select(
        alerts,
        deliveries.c.channel,
        deliveries.c.state.label("delivery_state"),
        deliveries.c.attempts,
        deliveries.c.last_error,
        deliveries.c.not_before,
        deliveries.c.sent_at,
    ).join(deliveries, deliveries.c.alert_id == alerts.c.id)


def _read(connection: Connection, query: Any) -> list[Delivery]:
    return [
        Delivery(
            entry=entry_of(row),
            channel=row.channel,
            state=row.delivery_state,
            attempts=row.attempts,
            last_error=row.last_error,
            not_before=row.not_before,
            sent_at=row.sent_at,
        )
        for row in connection.execute(query)
    ]


def _settle(
    connection: Connection,
    delivery: Delivery,
    values: Mapping[str, Any],
    seen_not_before: datetime | None = None,
) -> bool:
    statement = update(deliveries).where(
        deliveries.c.alert_id == delivery.entry.id,
        deliveries.c.channel == delivery.channel,
        deliveries.c.state == "waiting",
    )
    if seen_not_before is not None:
        statement = statement.where(deliveries.c.not_before == seen_not_before)
    return connection.execute(statement.values(dict(values))).rowcount == 1
