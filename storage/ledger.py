"""The ledger: one row per act of weight, each chained to the one before it by its hash.

A row is written in the transaction of the act that it tells of, so that neither is there without
the other. `storage.ledger_check` proves the chain.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, func, insert, select

from storage.database import dump_json
from storage.tables import ledger

# What the first row is chained to.
GENESIS = "0" * 64
# Any number, the same for all who append: PostgreSQL lets one of them in at a time.
_LOCK = 0x1ED6E2
_HASHED = (
    "seq", "at", "problem", "act", "subject", "generation", "actor", "decided_by", "reason",
    "evidence", "previous_hash",
)  # fmt: skip


class Entry(msgspec.Struct, frozen=True):
    """One act: ``act`` on ``subject`` (a version, a token, a policy) by ``actor``, and why.

    ``problem`` is None for what belongs to the whole installation.
    """

    problem: str | None
    act: str
    subject: str
    actor: str
    reason: str
    evidence: dict[str, Any] = {}
    generation: int | None = None


def decider(actor: str) -> str:
    """Who decided, as one of ``loop``, ``canary``, ``rollback`` (by itself) and ``person``."""
    return actor if actor in ("loop", "canary", "rollback") else "person"


def append(connection: Connection, entry: Entry) -> str:
    """Write an act as the chain's next row and return the row's hash.

    Call it in the transaction of the act. Writers come one after the other until their
    transactions end, so that the chain cannot fork; should one come in another way, the unique
    hash of the former row refuses it.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    last = connection.execute(
        select(ledger.c.seq, ledger.c.hash).order_by(ledger.c.seq.desc()).limit(1)
    ).first()
    row = {
        **msgspec.structs.asdict(entry),
        "seq": 1 if last is None else last.seq + 1,
        "at": datetime.now(UTC),
        "decided_by": decider(entry.actor),
        "evidence": dump_json(entry.evidence),
        "previous_hash": GENESIS if last is None else last.hash,
    }
    row["hash"] = row_hash(row)
    connection.execute(insert(ledger).values(row))
    return str(row["hash"])


def row_hash(row: Mapping[str, Any]) -> str:
    """SHA-256 over a row's columns but its own hash: JSON with sorted keys, the time in UTC."""
    facts = {name: row[name] for name in _HASHED}
    facts["at"] = facts["at"].astimezone(UTC).isoformat(timespec="microseconds")
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def newest_of(connection: Connection, problem: str | None, act: str) -> Row[Any] | None:
    """The newest row of one act of a problem, or None."""
    return connection.execute(
        select(ledger)
        .where(ledger.c.problem == problem, ledger.c.act == act)
        .order_by(ledger.c.seq.desc())
        .limit(1)
    ).first()


def entries(connection: Connection, problem: str, newest: int) -> Sequence[Row[Any]]:
    """The newest rows of a problem and of the whole installation, newest first."""
    return connection.execute(
        select(ledger)
        .where((ledger.c.problem == problem) | ledger.c.problem.is_(None))
        .order_by(ledger.c.seq.desc())
        .limit(newest)
    ).all()


def newest_of_subject(connection: Connection, problem: str, subject: str) -> Row[Any] | None:
    """The newest row of a problem about one subject, or None."""
    return connection.execute(
        select(ledger)
        .where(ledger.c.problem == problem, ledger.c.subject == subject)
        .order_by(ledger.c.seq.desc())
        .limit(1)
    ).first()
