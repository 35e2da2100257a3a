"""The lease: one loop at a time, on each kind of database."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, select, update

from storage import leases
from storage.database import open_engine, reading, upgrade, writing
from storage.runs import abandon_dead_runs, last_runs, start_run
from storage.tables import channels
from storage.tables import leases as table
from tests.api.servers import CHECKOUT, wait_until

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CONTENDER = """
import os, sys
from storage.database import open_engine
from storage.leases import acquire
engine = open_engine(os.environ["URL"])
print("ready", flush=True)
sys.stdin.readline()
lease = acquire(engine, "demo")
print("none" if lease is None else lease.epoch, flush=True)
sys.stdin.readline()
"""


def contender(url: str) -> subprocess.Popen[str]:
    """A process that asks for the lease at its first line of input and lives until the second."""
    environment = {**os.environ, "URL": url, "PYTHONPATH": str(CHECKOUT)}
    return subprocess.Popen(
        [sys.executable, "-c", CONTENDER],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def say(process: subprocess.Popen[str]) -> None:
    """Let a contender go on."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> str:
    """What a contender says next."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def set_holder(engine: Engine, holder: str, expires_at: datetime) -> None:
    """Make the lease somebody else's."""
    with writing(engine) as connection:
        connection.execute(update(table).values(holder=holder, expires_at=expires_at))


def taken(engine: Engine) -> leases.Lease:
    """The lease, which must be free."""
    lease = leases.acquire(engine, "demo")
    assert lease is not None
    return lease


def test_a_second_run_gets_nothing_while_the_first_lives(engine: Engine) -> None:
    taken(engine)
    assert leases.acquire(engine, "demo") is None
    assert leases.acquire(engine, "another") is not None


def test_the_epoch_grows_with_each_holder(engine: Engine) -> None:
    first = taken(engine)
    leases.release(engine, first)
    second = taken(engine)
    assert (first.epoch, second.epoch) == (1, 2)


def test_a_holder_on_another_machine_is_waited_for_until_it_expires(engine: Engine) -> None:
    leases.release(engine, taken(engine))
    set_holder(engine, "elsewhere:1:1", datetime.now(UTC) + timedelta(seconds=60))
    assert leases.acquire(engine, "demo") is None
    set_holder(engine, "elsewhere:1:1", datetime.now(UTC) - timedelta(seconds=1))
    assert taken(engine).epoch == 2


def test_a_reused_process_id_is_not_taken_for_its_former_owner(engine: Engine) -> None:
    holder = leases._this_process()
    leases.release(engine, taken(engine))
    later = datetime.now(UTC) + timedelta(seconds=60)
    set_holder(engine, holder, later)
    assert leases.acquire(engine, "demo") is None
    set_holder(engine, holder.rpartition(":")[0] + ":1", later)
    assert leases.acquire(engine, "demo") is not None


@pytest.mark.slow
def test_of_two_processes_at_once_one_wins_and_its_death_frees_the_lease(
    engine: Engine, database_url: str
) -> None:
    both = [contender(database_url), contender(database_url)]
    try:
        assert [hear(process) for process in both] == ["ready", "ready"]
        for process in both:
            say(process)
        answers = [hear(process) for process in both]
        assert sorted(answers) == ["1", "none"]
        assert leases.acquire(engine, "demo") is None
        winner = both[answers.index("1")]
        winner.kill()
        # It is not waited for: a killed process that its parent has not buried counts as gone.
        found = wait_until(lambda: leases.acquire(engine, "demo"))
        assert found.epoch == 2
    finally:
        for process in both:
            process.kill()
            process.communicate()


def test_a_run_that_lost_its_lease_writes_nothing(engine: Engine) -> None:
    lost = taken(engine)
    leases.release(engine, lost)
    taken(engine)
    row = {"name": "discord", "is_enabled": True, "changed_at": NOW}

    def write() -> None:
        with writing(engine) as db:
            db.execute(insert(channels).values(row))
            leases.fence(db, lost)

    with pytest.raises(leases.LeaseLostError, match="another took over"):
        write()
    with pytest.raises(leases.LeaseLostError):
        leases.renew(engine, lost)
    with reading(engine) as db:
        assert db.execute(select(channels)).all() == []


def test_giving_back_a_lost_lease_leaves_it_with_its_new_holder(engine: Engine) -> None:
    lost = taken(engine)
    leases.release(engine, lost)
    held = taken(engine)
    leases.release(engine, lost)
    with reading(engine) as db:
        leases.fence(db, held)
    assert leases.acquire(engine, "demo") is None


def test_a_kept_lease_is_renewed_and_given_back(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.2)
    lease = taken(engine)

    def expires() -> datetime:
        with reading(engine) as db:
            found: datetime = db.execute(select(table.c.expires_at)).scalar_one()
        return found

    first = expires()
    with leases.kept(engine, lease):
        wait_until(lambda: expires() > first + timedelta(seconds=0.1))
    assert leases.acquire(engine, "demo") is not None


def test_a_lease_that_cannot_be_given_back_hides_no_error(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'away.db'}"
    upgrade(url)
    engine = open_engine(url)
    lease = taken(engine)

    def fail() -> None:
        with writing(engine) as db:
            table.drop(db)
        raise LookupError("the body")

    with pytest.raises(LookupError, match="the body"), leases.kept(engine, lease):
        fail()
    engine.dispose()


def test_runs_of_former_holders_are_marked_as_abandoned(engine: Engine) -> None:
    first = taken(engine)
    with writing(engine) as db:
        dead = start_run(db, first, "continual", NOW, None)
    leases.release(engine, first)
    second = taken(engine)
    with writing(engine) as db:
        mine = start_run(db, second, "continual", NOW, None)
        assert abandon_dead_runs(db, second) == [dead]
        assert abandon_dead_runs(db, second) == []
    with reading(engine) as db:
        assert last_runs(db, "demo")["continual"]["state"] == "running"
    assert mine != dead
