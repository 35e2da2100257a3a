"""Sources of SQL: a query of somebody's database, read only, page by page behind a cursor."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, select, text
from sqlalchemy import column as sql_column
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
    StatementError,
)

from learning.cursors import Position
from learning.sources import SqlSource
from storage.source_errors import SourceDownError, SourceError

CONNECT_SECONDS = 10
CANCELLED = "57014"  # PostgreSQL: the statement timeout


def read_rows(source: SqlSource, url: str, position: Position | None) -> list[dict[str, Any]]:
    """The next rows by rising cursor, from the position's value on, itself included.

    As many as ``page_rows`` beyond those that were seen of that value. A row whose cursor is null
    is never read. Raises SourceDownError when the database does not answer, SourceError when it
    does not take the query or the query takes too long.
    """
    engine = _engine(_parsed(source, url), source.timeout_seconds)
    try:
        with _read_only(engine, source.timeout_seconds) as connection:
            return _fetch(connection, source, position)
    except StatementError as error:
        raise _explained(source, error) from error
    except SQLAlchemyError as error:
        raise SourceError("query", f"{source.name}: {error}") from error
    finally:
        engine.dispose()


def _parsed(source: SqlSource, url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        # The error's own words would repeat the URL, which is a secret.
        raise SourceError(
            "url",
            f"{source.url_env}: found no SQLAlchemy URL; expected postgresql://… or sqlite:///…",
        ) from None
    backend = parsed.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise SourceError(
            "backend",
            f"{source.url_env}: found {backend}; reading only and a time limit can be kept with "
            "sqlite and postgresql",
        )
    return parsed.set(drivername="postgresql+psycopg") if backend == "postgresql" else parsed


def _engine(url: URL, timeout_seconds: float) -> Engine:
    if url.get_backend_name() == "sqlite":
        return create_engine(
            "sqlite://", creator=lambda: _open_sqlite(url, timeout_seconds), poolclass=NullPool
        )
    limits = {"connect_timeout": CONNECT_SECONDS, "tcp_user_timeout": int(timeout_seconds * 1000)}
    return create_engine(url, connect_args=limits, poolclass=NullPool)


def _open_sqlite(url: URL, timeout_seconds: float) -> sqlite3.Connection:
    path = quote(str(Path(url.database or "").expanduser().resolve()))
    opened = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=timeout_seconds)
    opened.execute("PRAGMA query_only=ON")
    deadline = time.monotonic() + timeout_seconds
    opened.set_progress_handler(lambda: int(time.monotonic() > deadline), 10_000)
    return opened


@contextmanager
def _read_only(engine: Engine, timeout_seconds: float) -> Iterator[Connection]:
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET TRANSACTION READ ONLY"))
            limit = {"limit": str(int(timeout_seconds * 1000))}
            connection.execute(text("SELECT set_config('statement_timeout', :limit, true)"), limit)
        yield connection
        connection.rollback()


def _fetch(
    connection: Connection, source: SqlSource, position: Position | None
) -> list[dict[str, Any]]:
    query = text(source.query.strip().rstrip(";")).columns(sql_column(source.cursor))
    inner = query.subquery("source_rows")
    cursor = inner.c[source.cursor]
    statement = select(text("source_rows.*")).select_from(inner).order_by(cursor)
    limit = source.page_rows
    if position is None:
        statement = statement.where(cursor.is_not(None))
    else:
        statement = statement.where(cursor >= position.value)
        limit += len(position.marks)
    found = connection.execute(statement.limit(limit))
    return [dict(row) for row in found.mappings()]


def _explained(source: SqlSource, error: StatementError) -> SourceError:
    """The error without its statement and parameters."""
    original = error.orig if isinstance(error, DBAPIError) else error
    said = (str(original).strip() or type(original).__name__).splitlines()[0]
    if "interrupted" in said or getattr(original, "sqlstate", None) == CANCELLED:
        return SourceError(
            "timeout",
            f"{source.name}: the query took more than {source.timeout_seconds:g} s; give the "
            "cursor an index, or raise timeout_seconds",
        )
    is_query = "syntax error" in said or "no such" in said or "readonly" in said
    if isinstance(error, OperationalError | InterfaceError) and not is_query:
        return SourceDownError("down", f"{source.name}: the database does not answer: {said}")
    return SourceError("query", f"{source.name}: the database refuses the query: {said}")
