"""Labels that came without their row, until a batch of their own brings them to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from storage.database import insert_missing
from storage.tables import batches, waiting_labels

AT_ONCE = 1000  # keys in one statement


def keep(connection: Connection, problem: str, source: str, labels: Mapping[str, Any]) -> int:
    """Let labels wait by their keys; the first of a key stays. Returns how many are new."""
    now = datetime.now(UTC)
    rows = [
        {"problem": problem, "key": key, "label": label, "source": source, "received_at": now}
        for key, label in labels.items()
    ]
    parts = (rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE))
    before = count(connection, problem)
    for part in parts:
        insert_missing(connection, waiting_labels, part, ("problem", "key"))
    return count(connection, problem) - before


def count(connection: Connection, problem: str) -> int:
    """How many labels wait."""
    found = select(func.count()).where(waiting_labels.c.problem == problem)
    return int(connection.execute(found).scalar_one())


def waiting(connection: Connection, problem: str) -> list[str]:
    """Keys of the labels that no batch has claimed."""
    found = select(waiting_labels.c.key).where(
        waiting_labels.c.problem == problem, waiting_labels.c.claimed_by.is_(None)
    )
    return list(connection.execute(found).scalars())


def claim(connection: Connection, problem: str, keys: Sequence[str], batch_id: str) -> None:
    """Give labels to a batch before they are copied, so that a crash repeats the same batch."""
    for start in range(0, len(keys), AT_ONCE):
        connection.execute(
            update(waiting_labels)
            .where(
                waiting_labels.c.problem == problem,
                waiting_labels.c.key.in_(keys[start : start + AT_ONCE]),
                waiting_labels.c.claimed_by.is_(None),
            )
            .values(claimed_by=batch_id)
        )


def unfinished(connection: Connection, problem: str) -> list[str]:
    """Batches that have claimed labels but were never recorded."""
    done = select(batches.c.batch_id).where(batches.c.problem == problem)
    found = select(waiting_labels.c.claimed_by).where(
        waiting_labels.c.problem == problem,
        waiting_labels.c.claimed_by.is_not(None),
        waiting_labels.c.claimed_by.not_in(done),
    )
    return sorted(connection.execute(found.distinct()).scalars())


def claimed(connection: Connection, problem: str, batch_id: str) -> dict[str, Any]:
    """The claimed labels by key."""
    found = select(waiting_labels.c.key, waiting_labels.c.label).where(
        waiting_labels.c.problem == problem, waiting_labels.c.claimed_by == batch_id
    )
    return {row.key: row.label for row in connection.execute(found)}


def drop(connection: Connection, problem: str, batch_id: str) -> None:
    """Forget the labels that a batch has brought to their rows."""
    connection.execute(
        delete(waiting_labels).where(
            waiting_labels.c.problem == problem, waiting_labels.c.claimed_by == batch_id
        )
    )
