"""How far each outside source was read, and which of them fail."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from storage.database import insert_missing
from storage.tables import source_failures, source_positions


def part_of(path: str) -> str:
    """The name under which a file's position is kept, however long its path."""
    return hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()


def position(
    connection: Connection, problem: str, source: str, part: str = ""
) -> dict[str, Any] | None:
    """Where a source, or a file of it, was read to; None before its first rows."""
    found: dict[str, Any] | None = connection.execute(
        select(source_positions.c.position).where(*_place(problem, source, part))
    ).scalar_one_or_none()
    return found


def positions(connection: Connection, problem: str, source: str) -> dict[str, dict[str, Any]]:
    """Where each file of a source was read to, by its part."""
    rows = connection.execute(
        select(source_positions.c.part, source_positions.c.position).where(
            source_positions.c.problem == problem, source_positions.c.source == source
        )
    )
    return {row.part: row.position for row in rows}


def move(
    connection: Connection, problem: str, source: str, value: dict[str, Any], part: str = ""
) -> None:
    """Note how far a source was read, in the transaction that notes its rows."""
    row = {"position": value, "moved_at": datetime.now(UTC)}
    moved = connection.execute(
        update(source_positions).where(*_place(problem, source, part)).values(row)
    )
    if not moved.rowcount:
        place = {"problem": problem, "source": source, "part": part}
        connection.execute(insert(source_positions).values({**place, **row}))


def _place(problem: str, source: str, part: str) -> tuple[Any, ...]:
    return (
        source_positions.c.problem == problem,
        source_positions.c.source == source,
        source_positions.c.part == part,
    )


def note_failure(connection: Connection, problem: str, source: str, reason: str) -> None:
    """Note that a source fails, and since when."""
    place = {"problem": problem, "source": source}
    values = {**place, "reason": reason, "since": datetime.now(UTC)}
    if not insert_missing(connection, source_failures, values, ("problem", "source")):
        here = (source_failures.c.problem == problem, source_failures.c.source == source)
        connection.execute(update(source_failures).where(*here).values(reason=reason))


def end_failure(connection: Connection, problem: str, source: str) -> bool:
    """Whether a source had been failing; from now on it does not."""
    here = (source_failures.c.problem == problem, source_failures.c.source == source)
    return bool(connection.execute(delete(source_failures).where(*here)).rowcount)


def states(connection: Connection, problem: str) -> dict[str, dict[str, Any]]:
    """By source: when it moved last, and since when and why it fails, where it does."""
    found: dict[str, dict[str, Any]] = {}
    moved = connection.execute(
        select(source_positions.c.source, func.max(source_positions.c.moved_at).label("moved_at"))
        .where(source_positions.c.problem == problem)
        .group_by(source_positions.c.source)
    )
    for row in moved:
        found[row.source] = {"moved_at": row.moved_at}
    failing = connection.execute(
        select(source_failures).where(source_failures.c.problem == problem)
    )
    for row in failing:
        found.setdefault(row.source, {}).update(failing_since=row.since, reason=row.reason)
    return found
