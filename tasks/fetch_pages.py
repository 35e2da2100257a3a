"""The next page of each kind of source with a cursor."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from learning.cursors import CursorError, Position, advance, in_order
from learning.sources import DeltaSource, HttpSource, SqlSource
from storage import source_delta, source_http, source_sql
from storage.source_errors import SourceError
from storage.source_folders import read_options, require_secret
from storage.tabular import TableError
from storage.tabular_json import table_of
from tasks.run import Run

DELTA_ROWS = 50_000  # of several versions together; one version is never divided

Fetched = tuple[pa.Table, dict[str, Any]]


def fetch(
    run: Run, source: SqlSource | HttpSource | DeltaSource, at: dict[str, Any] | None
) -> Fetched | None:
    """Rows behind a position and the position behind them; None when there is no news.

    Raises SourceDownError where another try may help, else SourceError.
    """
    try:
        if isinstance(source, DeltaSource):
            return _delta(run, source, at)
        return _rows(run, source, None if at is None else Position.of_json(at))
    except (CursorError, TableError) as error:
        raise SourceError("answer", f"{source.name}: {error}") from error


def _rows(run: Run, source: SqlSource | HttpSource, position: Position | None) -> Fetched | None:
    secret = run.settings.secret
    if isinstance(source, SqlSource):
        url = require_secret(source.url_env, secret(source.url_env))
        rows = source_sql.read_rows(source, url, position)
    else:
        variable = source.token_env
        token = None if variable is None else require_secret(variable, secret(variable))
        rows = source_http.read_rows(source, token, position)
        rows = in_order(rows, source.cursor, position)
    new, behind = advance(rows, source.cursor, position)
    if not new or behind is None:
        return None
    return table_of(new), behind.as_json()


def _delta(run: Run, source: DeltaSource, at: dict[str, Any] | None) -> Fetched | None:
    variable = source.options_env
    options = read_options(variable, run.settings.secret(variable) if variable else None)
    texts = {name: str(value) for name, value in options.items()}
    since = None if at is None else int(at["version"])
    has_key = run.problem.key is not None
    added = source_delta.read_added(source, run.settings.roots, texts, since, DELTA_ROWS, has_key)
    if added is None:
        return None
    table = pa.table({}) if added.table is None else added.table
    return table, {"version": added.version}
