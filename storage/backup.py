"""A copy of an installation's files that fits together, with the hash of each.

The order makes it so: the journal first, since what leaves it goes into SQL; then SQL; then what
SQL names. Whoever copies holds the leases of all problems, so that no loop writes meanwhile.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import msgspec

from storage.bundles import write_atomically
from storage.database import StorageError

FORMAT = 1
MANIFEST = "backup.json"
HOME, STORE, PROBLEMS = "home", "store", "problems"
JOURNAL, SYSTEM, MLFLOW = "journal", "perennial.db", "mlflow.db"
# Made anew by what runs: logs, the servers' words and windows, Prefect's own history.
_SKIPPED = frozenset({"logs", "serving", "servers", "store", JOURNAL, "problems"})
_SUFFIXES = ("-wal", "-shm", "-journal", ".lock", ".pid", ".sock")


class BackupError(StorageError):
    """A backup cannot be made or restored as asked; the message says why and what to do."""


class BackupFile(msgspec.Struct, frozen=True):
    """A file of a backup."""

    size: int
    sha256: str


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """What `MANIFEST` says of a backup.

    ``served`` has version and generation of each problem's pointer, ``versions`` the newest version
    of each problem, ``head`` the newest hash of the ledger.
    """

    format: int = FORMAT
    made_at: datetime
    package: str
    database: str
    head: str
    served: dict[str, tuple[str, int]]
    versions: dict[str, int]
    files: dict[str, BackupFile]


def copy_home(home: Path, target: Path) -> None:
    """Copy what matters below a home but its store: journal and databases first, in this order."""
    copy_tree(home / JOURNAL, target / JOURNAL)
    for name in (SYSTEM, MLFLOW):
        copy_sqlite(home / name, target / name)
    for path in sorted(home.iterdir()) if home.is_dir() else ():
        if path.name in _SKIPPED or path.name.startswith((".", "prefect")):
            continue
        if path.is_dir():
            copy_tree(path, target / path.name)
        elif path.name not in (SYSTEM, MLFLOW) and not path.name.endswith(_SUFFIXES):
            copy_file(path, target / path.name)


def copy_store(store: Path, target: Path) -> None:
    """Copy bundles, acts, pointers and Delta tables; of these the log as it was at the beginning.

    The log names data files that are there already, so it is listed first and copied last.
    """
    for table in sorted((store / "observations").glob("*")):
        logs = sorted((table / "_delta_log").iterdir())
        copy_tree(table, target / "observations" / table.name, besides="_delta_log")
        for path in logs:
            if path.is_file():
                copy_file(path, target / "observations" / table.name / "_delta_log" / path.name)
    for path in sorted(store.iterdir()) if store.is_dir() else ():
        if path.is_dir() and path.name not in ("observations", "servers"):
            copy_tree(path, target / path.name)


def copy_tree(source: Path, target: Path, besides: str | None = None) -> None:
    """Copy a folder's files; drafts and locks stay, and so does what vanishes meanwhile."""
    if not source.is_dir():
        return
    for path in sorted(source.rglob("*")):
        parts = path.relative_to(source).parts
        is_draft = any(part.startswith(".draft-") for part in parts)
        if is_draft or besides in parts or not path.is_file() or path.name.endswith(_SUFFIXES):
            continue
        copy_file(path, target.joinpath(*parts))


def copy_file(source: Path, target: Path) -> None:
    """Copy a file as long as it is now; one that vanished was moved or collected."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with source.open("rb") as file, target.open("wb") as copy:
            shutil.copyfileobj(file, copy)
    except FileNotFoundError:
        target.unlink(missing_ok=True)


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy an SQLite database as of one moment, while others write to it."""
    if not source.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as here,
        closing(sqlite3.connect(target)) as there,
    ):
        here.backup(there)
        there.execute("PRAGMA journal_mode=DELETE")


def free_leases(path: Path) -> None:
    """Give back, in the copy, the leases that were held while it was made."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE leases SET holder = '', expires_at = '1970-01-01 00:00:00'")


def hashes(folder: Path) -> dict[str, BackupFile]:
    """Size and SHA-256 of every file of a backup but its manifest, by path below it."""
    found = {}
    for path in files_of(folder):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        found[str(path.relative_to(folder))] = BackupFile(path.stat().st_size, digest)
    return found


def files_of(folder: Path) -> Iterator[Path]:
    """Every file of a backup but its manifest."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / MANIFEST:
            yield path


def write_manifest(folder: Path, backup: Backup) -> None:
    """Write what is said of a backup; it is one from now on."""
    write_atomically(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(backup), indent=1))


def read_backup(folder: Path) -> Backup:
    """What is said of a backup, after all its files were found to be as they were.

    Raises BackupError for a folder that is no backup, and names the files that are missing, changed
    or more than there were.
    """
    try:
        backup = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Backup)
    except FileNotFoundError:
        raise BackupError(f"{folder}: found no {MANIFEST}; expected a whole backup") from None
    except msgspec.MsgspecError as error:
        raise BackupError(f"{folder / MANIFEST}: {error}; make another backup") from None
    if backup.format != FORMAT:
        raise BackupError(f"{folder}: found format {backup.format}, expected {FORMAT}")
    found = hashes(folder)
    wrong = sorted(
        name
        for name in found.keys() | backup.files.keys()
        if found.get(name) != backup.files.get(name)
    )
    if wrong:
        named = ", ".join(wrong[:3])
        raise BackupError(
            f"{folder}: {len(wrong)} files are missing, changed or too many ({named}); nothing was "
            "restored: use another copy of the backup"
        )
    return backup
