"""The SQL database: opened once per process, migrated by Alembic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url

from storage.values import StorageError, dump_json, plain

__all__ = [
    "StorageError",
    "bounded_url",
    "dump_json",
    "insert_missing",
    "open_engine",
    "plain",
    "reading",
    "upgrade",
    "writing",
]

BUSY_TIMEOUT_MS = 10_000
# What is committed survives a power cut.
SYNCHRONOUS = "FULL"
# A database that hangs is given up, so that no thread waits for it for ever.
POSTGRES_OPTIONS = {"connect_timeout": "3", "tcp_user_timeout": "5000"}


def open_engine(url: str) -> Engine:
    """Engine for SQLite (WAL, full synchronous) or PostgreSQL.

    Raises StorageError for any other kind of database.
    """
    parsed = make_url(url)
    if parsed.drivername in {"postgresql", "postgres", "postgresql+psycopg2"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return create_engine(parsed, pool_pre_ping=True, json_serializer=dump_json)
    if backend != "sqlite":
        raise StorageError(
            f"PERENNIAL_DATABASE_URL: found {backend!r}; expected sqlite:/// or postgresql+psycopg://"
        )
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        parsed,
        json_serializer=dump_json,
        connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def bounded_url(url: str) -> str:
    """The URL with limits on how long a PostgreSQL server may keep us waiting."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "postgresql":
        return url
    missing = {key: value for key, value in POSTGRES_OPTIONS.items() if key not in parsed.query}
    return parsed.update_query_dict(missing).render_as_string(hide_password=False)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # Transactions are begun by us (see `writing`), not by the driver's guesses.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        f"synchronous={SYNCHRONOUS}",
        "foreign_keys=ON",
        "mmap_size=0",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A write transaction; SQLite takes its write lock at once, so it cannot fail half way."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.rollback()
            raise
        connection.commit()


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection for reads."""
    with engine.connect() as connection:
        yield connection


def insert_missing(connection: Connection, table: Table, values: Any, keys: Sequence[str]) -> int:
    """Insert one row (a dict) or many (a list); rows whose keys exist are left as they are.

    Returns how many were inserted.
    """
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(table).on_conflict_do_nothing(index_elements=list(keys))
    # Without being told to, SQLAlchemy forgets the count of many rows on PostgreSQL.
    counted = statement.execution_options(preserve_rowcount=True)
    return int(connection.execute(counted, values).rowcount)


def upgrade(url: str) -> None:
    """Bring the database's tables to this version of the code; running it again does nothing."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["url"] = url
    command.upgrade(config, "head")
