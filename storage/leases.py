"""One loop at a time per problem: a lease with a fencing number in the database."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread

from sqlalchemy import Connection, Engine, func, select, update
from sqlalchemy.exc import SQLAlchemyError

from storage.database import StorageError, insert_missing, writing
from storage.tables import leases

LEASE_SECONDS = 60.0


class LeaseLostError(StorageError):
    """Another run has taken over; this one must stop and write nothing more."""


@dataclass(frozen=True)
class Lease:
    """The right to change a problem's state. ``epoch`` grows with each holder."""

    problem: str
    holder: str
    epoch: int


def acquire(engine: Engine, problem: str) -> Lease | None:
    """Take the lease, or None while another live run holds it.

    A holder on this machine whose process is gone has lost it at once, any other when it expires.
    """
    holder = _this_process()
    with writing(engine) as connection:
        insert_missing(
            connection,
            leases,
            {
                "problem": problem,
                "holder": "",
                "epoch": 0,
                "expires_at": datetime(1970, 1, 1, tzinfo=UTC),
            },
            ("problem",),
        )
        row = connection.execute(
            select(leases).where(leases.c.problem == problem).with_for_update()
        ).one()
        now = database_now(connection)
        if row.expires_at > now and not _is_gone(row.holder):
            return None
        epoch = row.epoch + 1
        connection.execute(
            update(leases)
            .where(leases.c.problem == problem)
            .values(holder=holder, epoch=epoch, expires_at=now + timedelta(seconds=LEASE_SECONDS))
        )
    return Lease(problem, holder, epoch)


def fence(connection: Connection, lease: Lease) -> None:
    """Raise LeaseLostError unless the lease is still ours; call it in each writing transaction."""
    epoch = connection.execute(
        select(leases.c.epoch).where(leases.c.problem == lease.problem).with_for_update()
    ).scalar_one_or_none()
    if epoch != lease.epoch:
        raise LeaseLostError(
            f"{lease.problem}: this run has epoch {lease.epoch}, found {epoch}: another took over"
        )


def renew(engine: Engine, lease: Lease) -> None:
    """Extend the lease. Raises LeaseLostError when it is no longer ours."""
    with writing(engine) as connection:
        fence(connection, lease)
        expires = database_now(connection) + timedelta(seconds=LEASE_SECONDS)
        connection.execute(
            update(leases).where(leases.c.problem == lease.problem).values(expires_at=expires)
        )


def release(engine: Engine, lease: Lease) -> None:
    """Give the lease back; nothing happens when it was lost."""
    with writing(engine) as connection:
        connection.execute(
            update(leases)
            .where(leases.c.problem == lease.problem, leases.c.epoch == lease.epoch)
            .values(holder="", expires_at=datetime(1970, 1, 1, tzinfo=UTC))
        )


@contextmanager
def kept(engine: Engine, lease: Lease) -> Iterator[None]:
    """Renew the lease in the background for as long as the block runs, then give it back."""
    stopped = Event()

    def renew_until_stopped() -> None:
        while not stopped.wait(LEASE_SECONDS / 4):
            try:
                renew(engine, lease)
            except LeaseLostError:
                return
            except Exception:  # noqa: S112 - the database may be back at the next turn
                continue

    thread = Thread(target=renew_until_stopped, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
        # Without the database it cannot be given back, and expires by itself.
        with suppress(SQLAlchemyError):
            release(engine, lease)


def database_now(connection: Connection) -> datetime:
    """The database server's time, which all holders share (SQLite: this machine's)."""
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)
    found: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return found.astimezone(UTC)


def _this_process() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}"


def _is_gone(holder: str) -> bool:
    host, _, rest = holder.partition(":")
    if not holder:
        return True
    if host != socket.gethostname():
        return False
    pid, _, started = rest.partition(":")
    return _started(int(pid)) != started


def _started(pid: int) -> str:
    # Start time in clock ticks since boot: process ids are used again, the pair is not.
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # A killed child that nobody has waited for yet is still listed.
        return "gone" if fields[0] in "ZX" else fields[19]
    except OSError:
        try:
            os.kill(pid, 0)
        except OSError:
            return "gone"
        return "alive"


def problems_run(connection: Connection) -> list[str]:
    """Names of all problems that a run was ever made for, in alphabetical order."""
    return list(connection.execute(select(leases.c.problem).order_by(leases.c.problem)).scalars())
