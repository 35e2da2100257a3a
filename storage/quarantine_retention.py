"""How much of the quarantine is kept: bounded in rows and in age."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, case, delete, func, select

from storage.tables import quarantine

_IS_OPEN = quarantine.c.state.in_(("waiting", "releasing"))


def trim(connection: Connection, problem: str, most_rows: int, before: datetime) -> int:
    """Remove rows kept before a time, then the oldest beyond ``most_rows``; released ones first.

    Rows that a release holds stay until it is finished. Returns how many waiting rows were lost.
    """
    waiting = _count_waiting(connection, problem)
    mine = (quarantine.c.problem == problem, quarantine.c.state != "releasing")
    connection.execute(delete(quarantine).where(*mine, quarantine.c.quarantined_at < before))
    beyond = (
        select(quarantine.c.id)
        .where(quarantine.c.problem == problem)
        .order_by(case((_IS_OPEN, 0), else_=1), quarantine.c.id.desc())
        .offset(most_rows)
    )
    connection.execute(
        delete(quarantine).where(*mine, quarantine.c.id.in_(beyond.scalar_subquery()))
    )
    return waiting - _count_waiting(connection, problem)


def _count_waiting(connection: Connection, problem: str) -> int:
    counted = (
        select(func.count())
        .select_from(quarantine)
        .where(quarantine.c.problem == problem, quarantine.c.state == "waiting")
    )
    return int(connection.execute(counted).scalar_one())
