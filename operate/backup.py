"""An installation copied while it runs, and put back."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

from sqlalchemy import Engine, distinct, func, select

from settings import Settings
from storage import backup as files
from storage import registry
from storage.backup import HOME, PROBLEMS, STORE, SYSTEM, Backup, BackupError
from storage.credentials import sqlite_path
from storage.database import open_engine, reading, upgrade
from storage.leases import acquire, kept
from storage.ledger_check import check
from storage.pointers import acknowledgements, read_pointer
from storage.tables import leases, models

WAIT_SECONDS = 300.0
DRAFT = ".restore-draft"


def make_backup(settings: Settings, target: Path, without_database: bool) -> dict[str, Any]:
    """Copy everything that matters to an empty folder; the API and the loop may go on.

    The loop's turns wait meanwhile: the backup holds the leases. Raises BackupError when the folder
    is not empty, or SQL is on a server whose own tools must copy it.
    """
    target = target.expanduser().resolve()
    database = sqlite_path(settings.sql_url)
    _refuse_backup(settings, target, database, without_database)
    target.mkdir(parents=True, exist_ok=True)
    upgrade(settings.sql_url)
    engine = open_engine(settings.sql_url)
    try:
        with _alone(settings, engine) as names:
            files.copy_home(settings.home, target / HOME)
            if database is not None:
                files.copy_sqlite(database, target / HOME / SYSTEM)
            files.copy_store(settings.store, target / STORE)
            if settings.problems is not None:
                files.copy_tree(settings.problems, target / PROBLEMS)
            made = _described(engine, target, names, "postgresql" if database is None else "sqlite")
    finally:
        engine.dispose()
    if database is not None:
        files.free_leases(target / HOME / SYSTEM)
    found = files.hashes(target)
    files.write_manifest(target, Backup(**made, files=found))
    return {
        "backup": str(target),
        "files": len(found),
        "bytes": sum(file.size for file in found.values()),
        "head": made["head"],
        "served": {name: version for name, (version, _) in made["served"].items()},
        "database": made["database"],
    }


def _refuse_backup(
    settings: Settings, target: Path, database: Path | None, without_database: bool
) -> None:
    if target.is_relative_to(settings.home) or target.is_relative_to(settings.store.resolve()):
        raise BackupError(f"{target} lies below what is copied; choose a folder elsewhere")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BackupError(f"{target} is not an empty folder; each backup needs one of its own")
    if database is None and not without_database:
        raise BackupError(
            "SQL is on a PostgreSQL server, whose own tools copy it: first run `pg_dump "
            "--format=custom --file perennial.pgdump DATABASE`, then this with --without-database "
            "for everything else; the copy of SQL must not be the newer one"
        )


@contextmanager
def _alone(settings: Settings, engine: Engine) -> Iterator[list[str]]:
    """Hold the lease of every problem there is, so that no loop writes; their names."""
    with reading(engine) as connection:
        known = set(connection.execute(select(distinct(leases.c.problem))).scalars())
    names = sorted(known | set(settings.active))
    deadline = time.monotonic() + WAIT_SECONDS
    with ExitStack() as stack:
        for name in names:
            while (lease := acquire(engine, name)) is None:
                if time.monotonic() > deadline:
                    raise BackupError(f"{name}: a run is at work for {WAIT_SECONDS:g} s; try later")
                Event().wait(0.2)
            stack.enter_context(kept(engine, lease))
        yield names


def _described(engine: Engine, target: Path, names: list[str], database: str) -> dict[str, Any]:
    newest = select(models.c.problem, func.max(models.c.version)).group_by(models.c.problem)
    with reading(engine) as connection:
        head = check(connection).head
        versions = {name: int(version) for name, version in connection.execute(newest)}
    served = {}
    for name in names:
        pointer = read_pointer(target / STORE, name)
        if pointer is not None:
            served[name] = (pointer.version, pointer.generation)
    return {
        "made_at": datetime.now(UTC),
        "package": importlib.metadata.version("perennial"),
        "database": database,
        "head": head,
        "served": served,
        "versions": versions,
    }


def restore(settings: Settings, source: Path, is_forced: bool) -> dict[str, Any]:
    """Put a backup back, after its hashes were verified; what was there before is moved aside.

    Raises BackupError when the home is not empty and nobody forces it, when servers answer from it,
    or when the backup is not whole.
    """
    source = source.expanduser().resolve()
    backup = files.read_backup(source)
    _refuse_restore(settings, backup, is_forced)
    aside = f"before-restore-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    moved = [_replace(settings.home, source / HOME, aside)]
    if settings.problems is not None:
        moved.append(_replace(settings.problems, source / PROBLEMS, aside))
    moved.append(_replace(settings.store, source / STORE, aside))
    database = sqlite_path(settings.sql_url)
    if database is not None and database.resolve() != settings.home / SYSTEM:
        _replace_file(database, source / HOME / SYSTEM, aside)
    return {
        "made_at": backup.made_at,
        "files": len(backup.files),
        "served": {name: version for name, (version, _) in backup.served.items()},
        "moved_aside": [str(path) for path in moved if path is not None],
        "notes": _notes(settings, backup),
    }


def _refuse_restore(settings: Settings, backup: Backup, is_forced: bool) -> None:
    for name in backup.served:
        if acknowledgements(settings.store, name):
            raise BackupError(f"{name}: a server answers from {settings.store}; stop it first")
    places = {settings.home, settings.store}
    filled = [str(path) for path in sorted(places) if path.is_dir() and any(path.iterdir())]
    if filled and not is_forced:
        raise BackupError(
            f"{filled[0]} is not empty; --force moves what is there aside, into a folder "
            "before-restore-TIME below it"
        )


def _replace(target: Path, source: Path, aside: str) -> Path | None:
    """Put a folder's content in place of another's; where that was moved to, if there was any."""
    if not source.is_dir():
        return None
    target.mkdir(parents=True, exist_ok=True)
    draft = target / DRAFT
    files.copy_tree(source, draft)
    before = [path for path in target.iterdir() if path != draft and path.name != aside]
    kept_at = target / aside
    for path in before:
        kept_at.mkdir(exist_ok=True)
        path.rename(kept_at / path.name)
    for path in sorted(draft.iterdir()) if draft.is_dir() else ():
        path.rename(target / path.name)
    if draft.is_dir():
        draft.rmdir()
    return kept_at if before else None


def _replace_file(target: Path, source: Path, aside: str) -> None:
    if target.exists():
        target.rename(target.with_name(f"{target.name}.{aside}"))
    files.copy_file(source, target)


def _notes(settings: Settings, backup: Backup) -> list[str]:
    """What a person should know of what the backup does not hold."""
    notes = [
        "what was decided after the backup is not in it; the loop goes on from here, and its next "
        "run brings tables, pointer and registry to agree"
    ]
    if backup.database != "sqlite":
        notes.append("SQL is not in it: restore your dump with `pg_restore --clean` now")
    for name, version in backup.versions.items() if settings.mlflow_uri else ():
        try:
            newest = registry.newest_version(settings.tracking_uri, name)
        except registry.RegistryError:
            notes.append("MLflow does not answer; whether it knows newer versions was not seen")
            break
        if newest > version:
            notes.append(
                f"{name}: MLflow knows version {newest}, the backup ends at {version}: those stay "
                "there as they are, the alias champion moves back, and new versions begin again "
                f"at {version + 1}"
            )
    return notes
