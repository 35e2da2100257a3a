"""Model versions: each training attempt, what became of it, and the champion.

A version goes from ``training`` to ``candidate`` (it has a bundle), ``challenger`` (it passed the
gate), ``champion`` and ``archived``. It is ``waiting`` while the gate cannot say, and ends as
``refused``, as ``superseded`` when a newer one was trained meanwhile, or as ``abandoned`` when the
run that trained it died.

Where the problem file asks for a rollout in stages, a challenger is in the ``shadow`` of the
champion and then its ``canary``, before it is champion itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from storage.tables import models


def begin_version(connection: Connection, problem: str, run_id: str, clock: datetime) -> int:
    """Reserve the next version number for a training run and return it."""
    newest = connection.execute(
        select(func.max(models.c.version)).where(models.c.problem == problem)
    ).scalar_one()
    version = int(newest or 0) + 1
    connection.execute(
        insert(models).values(
            problem=problem,
            version=version,
            run_id=run_id,
            state="training",
            metrics={},
            clock=clock,
            trained_at=datetime.now(UTC),
        )
    )
    return version


def update_version(connection: Connection, problem: str, version: int, **values: Any) -> None:
    """Change what is known of a version."""
    connection.execute(
        update(models)
        .where(models.c.problem == problem, models.c.version == version)
        .values(**values)
    )


def find_version(connection: Connection, problem: str, version: int) -> Row[Any] | None:
    """One version, or None."""
    return connection.execute(
        select(models).where(models.c.problem == problem, models.c.version == version)
    ).first()


def of_run(connection: Connection, problem: str, run_id: str) -> Row[Any] | None:
    """The version that a run of the loop trained, or None."""
    query = select(models).where(models.c.problem == problem, models.c.run_id == run_id)
    return connection.execute(query).first()


def champion(connection: Connection, problem: str) -> Row[Any] | None:
    """The version in state ``champion``, or None before the first promotion."""
    return connection.execute(
        select(models)
        .where(models.c.problem == problem, models.c.state == "champion")
        .order_by(models.c.version.desc())
        .limit(1)
    ).first()


def waiting(connection: Connection, problem: str) -> Row[Any] | None:
    """The version that waits for more evidence, or None."""
    return connection.execute(
        select(models)
        .where(models.c.problem == problem, models.c.state == "waiting")
        .order_by(models.c.version.desc())
        .limit(1)
    ).first()


def supersede(connection: Connection, problem: str, reason: str) -> None:
    """Give up the version that waits, since another one is trained."""
    connection.execute(
        update(models)
        .where(models.c.problem == problem, models.c.state == "waiting")
        .values(state="superseded", reason=reason)
    )


def archived(connection: Connection, problem: str, newest: int) -> Sequence[Row[Any]]:
    """The newest former champions, newest first."""
    return connection.execute(
        select(models)
        .where(
            models.c.problem == problem,
            models.c.state == "archived",
            models.c.bundle.is_not(None),
        )
        .order_by(models.c.version.desc())
        .limit(newest)
    ).all()


def crown(connection: Connection, problem: str, version: int) -> None:
    """Make a version the champion; the former one is archived."""
    connection.execute(
        update(models)
        .where(models.c.problem == problem, models.c.state == "champion")
        .values(state="archived")
    )
    update_version(connection, problem, version, state="champion")


def attempts(connection: Connection, problem: str, newest: int) -> Sequence[Row[Any]]:
    """The newest versions, newest first, whatever became of them."""
    return connection.execute(
        select(models)
        .where(models.c.problem == problem)
        .order_by(models.c.version.desc())
        .limit(newest)
    ).all()


def newest_bundle(connection: Connection, problem: str) -> str | None:
    """Bundle of the newest version that has one, whatever became of it."""
    return connection.execute(
        select(models.c.bundle)
        .where(models.c.problem == problem, models.c.bundle.is_not(None))
        .order_by(models.c.version.desc())
        .limit(1)
    ).scalar()


def close_unfinished(connection: Connection, problem: str, run_id: str) -> list[int]:
    """Give up the versions that other runs than ``run_id`` left before their release.

    Only the holder of the lease may call it: no other run can be alive then. Returns them.
    """
    unfinished = (
        models.c.problem == problem,
        models.c.run_id != run_id,
        models.c.state.in_(("training", "candidate", "challenger")),
    )
    found = connection.execute(select(models.c.version).where(*unfinished)).scalars().all()
    connection.execute(
        update(models)
        .where(*unfinished)
        .values(state="abandoned", reason="the run that trained it ended before its release")
    )
    return list(found)
