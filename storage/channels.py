"""Ways to reach a person: on, off with a reason, or paused until a time.

The address of a channel is a credential: of it only a hash is kept, to notice that it changed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from storage.tables import channels


@dataclass(frozen=True)
class Channel:
    """A channel as it stands; ``reason`` says why it is off."""

    name: str
    is_enabled: bool
    reason: str | None
    url_hash: str | None
    not_before: datetime | None
    changed_at: datetime

    def is_paused(self, now: datetime) -> bool:
        """Whether nothing may be sent before a later time."""
        return self.not_before is not None and self.not_before > now


def find_channel(connection: Connection, name: str) -> Channel | None:
    """The channel, or None when nothing was ever sent through it."""
    row = connection.execute(select(channels).where(channels.c.name == name)).first()
    return None if row is None else Channel(**row._mapping)


def open_channel(connection: Connection, name: str, url: str, now: datetime) -> Channel:
    """The channel for an address; an address other than the last one switches it on."""
    url_hash = hashlib.sha256(url.encode("utf-8", "replace")).hexdigest()
    found = find_channel(connection, name)
    if found is not None and found.url_hash == url_hash:
        return found
    fresh = Channel(name, True, None, url_hash, None, now)
    if found is None:
        connection.execute(insert(channels).values(vars(fresh)))
    else:
        connection.execute(_of(name).values(vars(fresh)))
    return fresh


def pause_channel(connection: Connection, name: str, until: datetime) -> None:
    """Send nothing through the channel before ``until``."""
    connection.execute(_of(name).values(not_before=until))


def disable_channel(connection: Connection, name: str, reason: str, now: datetime) -> None:
    """Send nothing through the channel until its address changes."""
    values = {"is_enabled": False, "reason": reason, "not_before": None, "changed_at": now}
    connection.execute(_of(name).values(values))


def _of(name: str) -> Any:
    return update(channels).where(channels.c.name == name)
