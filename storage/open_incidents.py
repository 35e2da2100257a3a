"""What is wrong now: incidents that were told and never told to be over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from learning.alert import CLOSES, OPEN
from storage.outbox import Entry, entry_of
from storage.tables import alerts

NEWEST = 1_000


@dataclass(frozen=True)
class OpenIncident:
    """The newest message of an incident, and when it was opened (None: longer ago than is read)."""

    message: Entry
    opened_at: datetime | None


def open_incidents(connection: Connection, problem: str) -> list[OpenIncident]:
    """Incidents whose newest message says that they last, the newest first.

    Among the newest messages only: one that lasts is told again every few hours.
    """
    rows = connection.execute(
        select(alerts)
        .where(alerts.c.problem == problem, alerts.c.incident.is_not(None))
        .order_by(alerts.c.id.desc())
        .limit(NEWEST)
    )
    newest: dict[tuple[str, str], Entry] = {}
    opened: dict[tuple[str, str], datetime] = {}
    for entry in map(entry_of, rows):
        key = (entry.alert.incident or "", CLOSES.get(entry.alert.kind, entry.alert.kind))
        newest.setdefault(key, entry)
        if entry.phase == "opened":
            opened.setdefault(key, entry.created_at)
    return [
        OpenIncident(entry, opened.get(key)) for key, entry in newest.items() if entry.phase in OPEN
    ]
