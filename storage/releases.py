"""Releases: who was served from when to when, one row per act, one file per act beside it.

The file is written before the pointer moves and needs no database, so that a rollback with the
database down is written into the table later.

A release is ``pending`` until all servers follow, then ``promoted`` or ``rolled_back_to``: its
version answers. It is ``refused`` when it never did. A candidate beside the champion is a release
as well: ``staging`` until all servers follow, then ``shadow`` (it answers nobody) or ``canary`` (it
answers a share), and ``withdrawn`` is the release that takes it away.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from loguru import logger
from sqlalchemy import Connection, Row, func, insert, select, update

from storage.bundles import write_atomically
from storage.candidates import Candidate
from storage.database import StorageError
from storage.kill_points import reach
from storage.ledger_release import enter_release
from storage.pointers import Former, Pointer, move_pointer, read_pointer
from storage.tables import releases

N_FORMER = 20


class Act(msgspec.Struct, frozen=True):
    """One release as its file tells it."""

    problem: str
    generation: int
    version: str
    bundle: str
    state: str
    actor: str
    reason: str
    started_at: datetime


def first_served(connection: Connection, problem: str) -> int | None:
    """The version that was served first, or None before any."""
    found: int | None = connection.execute(
        select(releases.c.version)
        .where(releases.c.problem == problem, releases.c.state.in_(("promoted", "rolled_back_to")))
        .order_by(releases.c.generation)
        .limit(1)
    ).scalar_one_or_none()
    return found


def begin_release(
    connection: Connection,
    problem: str,
    version: int,
    bundle: str,
    actor: str,
    reason: str,
    clock: datetime,
    at_least: int = 0,
    state: str = "pending",
) -> int:
    """Reserve the next generation for a release that is not carried out yet, and return it.

    ``at_least`` is the pointer's own generation, which a rollback without the database may have
    moved ahead of the table. Two at once: the primary key lets one of them through.
    """
    newest = connection.execute(
        select(func.max(releases.c.generation)).where(releases.c.problem == problem)
    ).scalar_one()
    generation = max(int(newest or 0), at_least) + 1
    connection.execute(
        insert(releases).values(
            problem=problem,
            generation=generation,
            version=version,
            bundle=bundle,
            sha256=bundle,
            state=state,
            actor=actor,
            reason=reason,
            clock=clock,
            started_at=datetime.now(UTC),
        )
    )
    return generation


def finish_release(connection: Connection, problem: str, generation: int, state: str) -> None:
    """Close a release in its last state; the ledger tells it."""
    row = connection.execute(
        update(releases)
        .where(releases.c.problem == problem, releases.c.generation == generation)
        .values(state=state, acknowledged_at=datetime.now(UTC))
        .returning(releases)
    ).one()
    enter_release(connection, row._asdict())


class StaleReleaseError(StorageError):
    """Another release came first; this one must not move the pointer back."""


def point(
    store: Path,
    problem: str,
    generation: int,
    target: Former,
    state: str,
    actor: str,
    reason: str,
    served: Sequence[Former] = (),
    candidate: Candidate | None = None,
    about: Former | None = None,
) -> Pointer:
    """Write the act's file, move the pointer to a bundle, and return the pointer.

    A ``candidate`` stands beside the bundle from now on; any other release takes it away. ``about``
    is whose act this is, if not the bundle's.
    ``served`` are the bundles served before, newest first, for when there is no pointer to tell.
    Raises StaleReleaseError unless the generation is greater than the pointer's: of two releases
    at once one wins and the other is told so.
    """
    now = datetime.now(UTC)
    with _alone(store, problem):
        before = read_pointer(store, problem)
        if before is not None and before.generation >= generation:
            raise StaleReleaseError(
                f"{problem}: release {generation} came too late, "
                f"generation {before.generation} (version {before.version}) is served"
            )
        former = tuple(served[:N_FORMER])
        if before is not None:
            former = before.former
            if before.bundle != target.bundle:
                former = (Former(before.version, before.bundle), *former)[:N_FORMER]
        whose = about or target
        act = Act(problem, generation, whose.version, whose.bundle, state, actor, reason, now)
        write_atomically(_act_path(store, problem, generation), msgspec.json.encode(act))
        reach("promote.act_written")
        pointer = Pointer(
            problem,
            generation,
            target.version,
            target.bundle,
            now,
            actor,
            reason,
            former,
            candidate,
        )
        move_pointer(store, pointer)
        reach("promote.pointer_moved")
    return pointer


@contextmanager
def _alone(store: Path, problem: str) -> Iterator[None]:
    folder = store / "pointers"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{problem}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def import_acts(connection: Connection, store: Path, problem: str) -> list[Act]:
    """Write acts that only have a file (done while the database was down) into the table.

    A generation that the table had reserved for another act, which then came too late, becomes
    the act of the file: that one moved the pointer.
    """
    rows = connection.execute(select(releases).where(releases.c.problem == problem)).all()
    known = {row.generation: (row.bundle, row.actor) for row in rows}
    found = []
    for act in acts(store, problem):
        if known.get(act.generation) == (act.bundle, act.actor):
            continue
        row = {
            "problem": problem,
            "generation": act.generation,
            "version": int(act.version),
            "bundle": act.bundle,
            "sha256": act.bundle,
            "state": act.state,
            "actor": act.actor,
            "reason": act.reason,
            "clock": act.started_at,
            "started_at": act.started_at,
            "acknowledged_at": act.started_at,
        }
        if act.generation in known:
            mine = (releases.c.problem == problem, releases.c.generation == act.generation)
            connection.execute(update(releases).where(*mine).values(row))
        else:
            connection.execute(insert(releases).values(row))
        enter_release(connection, row)
        found.append(act)
    return found


def acts(store: Path, problem: str) -> Iterator[Act]:
    """The acts on file, oldest first; one that cannot be read is warned of."""
    for path in sorted((store / "releases" / problem).glob("[0-9]*.json")):
        try:
            yield msgspec.json.decode(path.read_bytes(), type=Act)
        except msgspec.MsgspecError as error:
            logger.warning("{}: the act {} cannot be read: {}", problem, path.name, error)


def find_release(connection: Connection, problem: str, generation: int) -> Row[Any] | None:
    """One release, or None."""
    return connection.execute(
        select(releases).where(releases.c.problem == problem, releases.c.generation == generation)
    ).first()


def pending_releases(connection: Connection, problem: str) -> Sequence[Row[Any]]:
    """Releases that were begun and not closed, oldest first."""
    return connection.execute(
        select(releases)
        .where(releases.c.problem == problem, releases.c.state == "pending")
        .order_by(releases.c.generation)
    ).all()


def newest_served(connection: Connection, problem: str) -> Row[Any] | None:
    """The newest release that was carried out: its version is the one to serve."""
    return connection.execute(
        select(releases)
        .where(releases.c.problem == problem, releases.c.state.in_(("promoted", "rolled_back_to")))
        .order_by(releases.c.generation.desc())
        .limit(1)
    ).first()


def served_before(connection: Connection, problem: str, generation: int) -> list[Former]:
    """The bundles of the releases carried out before a generation, newest first."""
    rows = connection.execute(
        select(releases.c.version, releases.c.bundle)
        .where(
            releases.c.problem == problem,
            releases.c.generation < generation,
            releases.c.state.in_(("promoted", "rolled_back_to")),
        )
        .order_by(releases.c.generation.desc())
        .limit(N_FORMER)
    )
    return [Former(str(row.version), row.bundle) for row in rows]


def release_history(connection: Connection, problem: str, newest: int) -> Sequence[Row[Any]]:
    """The newest releases, newest first."""
    return connection.execute(
        select(releases)
        .where(releases.c.problem == problem)
        .order_by(releases.c.generation.desc())
        .limit(newest)
    ).all()


def _act_path(store: Path, problem: str, generation: int) -> Path:
    return store / "releases" / problem / f"{generation:012d}.json"
