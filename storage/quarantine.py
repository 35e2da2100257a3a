"""Rows that were refused: kept with their reason until they are released or too old.

A row waits, is ``releasing`` once a person has asked for it, and ends ``released``, or ``repeated``
where its key was stored meanwhile; a row that is still bad waits again. The claim is committed
before the rows are copied, so that a crash in between repeats the very same release.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, or_, select, update

from storage.database import insert_missing
from storage.tables import batches, quarantine

PORTION = 1_000
STATES = ("waiting", "releasing", "released", "repeated")


@dataclass(frozen=True)
class Selection:
    """Which rows: all that a problem has unless narrowed.

    ``batch`` is a batch's id or its beginning, or its source or the file's name in it; ``matching``
    is part of a quarantine reason; ``ids`` are the rows' own numbers.
    """

    problem: str
    batch: str | None = None
    matching: str | None = None
    ids: tuple[int, ...] = ()
    state: str | None = "waiting"


@dataclass(frozen=True)
class Release:
    """Who asks for rows, when and why; ``is_as_is`` overrules what a person may overrule."""

    release_id: str
    by: str
    reason: str
    at: datetime
    is_as_is: bool = False


def keep_rows(
    connection: Connection, problem: str, batch_id: str, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Keep refused rows, each with ``row_number``, ``quarantine_reason`` and ``row``.

    ``event_time`` and ``event_time_column`` may tell when the row happened, as its batch has it.
    """
    empty = {"event_time": None, "event_time_column": None}
    mine = {"problem": problem, "batch_id": batch_id, "state": "waiting"}
    mine["quarantined_at"] = datetime.now(UTC)  # type: ignore[assignment]
    for first in range(0, len(rows), PORTION):
        values = [{**empty, **row, **mine} for row in rows[first : first + PORTION]]
        insert_missing(connection, quarantine, values, ("problem", "batch_id", "row_number"))


def count_waiting(connection: Connection, problem: str) -> int:
    """How many rows wait for a decision, or for a release to be finished."""
    found = connection.execute(
        select(func.count())
        .select_from(quarantine)
        .where(quarantine.c.problem == problem, quarantine.c.state.in_(("waiting", "releasing")))
    )
    return int(found.scalar_one())


def count_by_reason(connection: Connection, selection: Selection) -> Sequence[Row[Any]]:
    """Rows by batch, reason and state: ``n_rows``, with ``source`` and the ``first_at`` kept."""
    by = (
        quarantine.c.batch_id,
        batches.c.source,
        quarantine.c.quarantine_reason,
        quarantine.c.state,
    )
    counted = select(
        *by,
        func.count().label("n_rows"),
        func.min(quarantine.c.quarantined_at).label("first_at"),
    )
    return connection.execute(
        counted.select_from(_with_batches())
        .where(*_conditions(selection))
        .group_by(*by)
        .order_by(func.min(quarantine.c.id), quarantine.c.quarantine_reason)
    ).all()


def count_rows(connection: Connection, selection: Selection) -> int:
    """How many rows a selection has."""
    counted = select(func.count()).select_from(_with_batches()).where(*_conditions(selection))
    return int(connection.execute(counted).scalar_one())


def find_rows(
    connection: Connection, selection: Selection, limit: int | None = None
) -> Iterator[Row[Any]]:
    """The selected rows with their ``source``, oldest first, a portion in memory at a time."""
    after, left = 0, limit
    while left is None or left > 0:
        portion = PORTION if left is None else min(PORTION, left)
        rows = connection.execute(
            select(quarantine, batches.c.source)
            .select_from(_with_batches())
            .where(*_conditions(selection), quarantine.c.id > after)
            .order_by(quarantine.c.id)
            .limit(portion)
        ).all()
        yield from rows
        if len(rows) < portion:
            return
        after = rows[-1].id
        left = None if left is None else left - len(rows)


def claim_rows(
    connection: Connection, selection: Selection, batch_id: str, release: Release
) -> int:
    """Give the selected waiting rows of one batch to a release; returns how many."""
    mine = (quarantine.c.batch_id == batch_id, quarantine.c.state == "waiting")
    chosen = (
        select(quarantine.c.id).select_from(_with_batches()).where(*_conditions(selection), *mine)
    )
    claimed = connection.execute(
        update(quarantine)
        .where(quarantine.c.id.in_(chosen.scalar_subquery()))
        .values(
            state="releasing",
            release_id=release.release_id,
            released_by=release.by,
            release_reason=release.reason,
            released_at=release.at,
            is_as_is=release.is_as_is,
        )
    )
    return int(claimed.rowcount)


def unfinished_releases(connection: Connection, problem: str) -> list[str]:
    """Releases that still hold rows, oldest first."""
    found = connection.execute(
        select(quarantine.c.release_id)
        .where(quarantine.c.problem == problem, quarantine.c.state == "releasing")
        .group_by(quarantine.c.release_id)
        .order_by(func.min(quarantine.c.released_at), quarantine.c.release_id)
    )
    return [str(name) for name in found.scalars()]


def claimed_rows(connection: Connection, problem: str, release_id: str) -> Sequence[Row[Any]]:
    """The rows that a release still holds, oldest first, with the ``source`` of their batch."""
    return connection.execute(
        select(quarantine, batches.c.source)
        .select_from(_with_batches())
        .where(
            quarantine.c.problem == problem,
            quarantine.c.release_id == release_id,
            quarantine.c.state == "releasing",
        )
        .order_by(quarantine.c.id)
    ).all()


def take_back(connection: Connection, reasons: Mapping[int, str]) -> None:
    """Let rows wait again, each with the reason that now stands against it."""
    free = {
        "state": "waiting",
        "release_id": None,
        "released_by": None,
        "release_reason": None,
        "released_at": None,
        "is_as_is": None,
    }
    for row_id, reason in reasons.items():
        connection.execute(
            update(quarantine)
            .where(quarantine.c.id == row_id)
            .values(**free, quarantine_reason=reason)
        )


def settle(connection: Connection, ids: Sequence[int], state: str) -> None:
    """End rows of a release as ``released`` or ``repeated``."""
    for first in range(0, len(ids), PORTION):
        connection.execute(
            update(quarantine)
            .where(quarantine.c.id.in_(ids[first : first + PORTION]))
            .values(state=state)
        )


def _with_batches() -> Any:
    same = (batches.c.problem == quarantine.c.problem) & (
        batches.c.batch_id == quarantine.c.batch_id
    )
    return quarantine.outerjoin(batches, same)


def _conditions(selection: Selection) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [quarantine.c.problem == selection.problem]
    if selection.state is not None:
        found.append(quarantine.c.state == selection.state)
    if selection.batch is not None:
        found.append(
            or_(
                quarantine.c.batch_id.startswith(selection.batch, autoescape=True),
                batches.c.source == selection.batch,
                batches.c.source.endswith(f"/{selection.batch}", autoescape=True),
            )
        )
    if selection.matching is not None:
        found.append(quarantine.c.quarantine_reason.icontains(selection.matching, autoescape=True))
    if selection.ids:
        found.append(quarantine.c.id.in_(selection.ids))
    return found
