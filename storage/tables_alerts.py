"""The SQL tables of what people are told, and over which channel they were."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, Integer, String, Table, Text

from storage.columns import BigId, Json, metadata
from storage.columns import id_column as _id
from storage.columns import name_column as _name
from storage.columns import time_column as _time

alerts = Table(
    "alerts",
    metadata,
    _id(),
    Column("event_id", String(128), nullable=False, unique=True),
    _name("problem"),
    _name("kind"),
    _name("severity", comment="info, good, warning, critical"),
    Column("title", String(256), nullable=False),
    Column("text", Text, nullable=False),
    Column("fields", Json, nullable=False),
    Column("incident", String(128), comment="repeats of one incident share a row"),
    _name("phase", comment="event, opened, worse, still_open, closed"),
    Column("level", Float, nullable=False, comment="how bad, to know worse by"),
    Column("repeats", Integer, nullable=False, default=0),
    Column("repeat_ids", Json, nullable=False, comment="event ids of the newest repeats"),
    _name("state", comment="waiting, sent, logged, dropped"),
    _time("clock", nullable=True),
    _time("created_at"),
    Index(None, "state"),
    Index(None, "problem", "incident", "kind"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("alert_id", BigId, primary_key=True, autoincrement=False),
    _name("channel", primary_key=True, comment="discord, email, webhook"),
    _name("state", comment="waiting, sent, off, dropped"),
    Column("attempts", Integer, nullable=False, default=0),
    Column("last_error", Text),
    _time("not_before"),
    _time("sent_at", nullable=True),
    Index(None, "channel", "state", "not_before"),
)

channels = Table(
    "channels",
    metadata,
    _name("name", primary_key=True),
    Column("is_enabled", Boolean, nullable=False),
    Column("reason", Text),
    Column("url_hash", String(64), comment="another address switches the channel on again"),
    _time("not_before", nullable=True),
    _time("changed_at"),
)
