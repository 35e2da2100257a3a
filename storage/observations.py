"""The Delta table of observations: one row per key and event, appended once per batch.

`INGESTED_AT` differs from row to row and only grows, so it keeps the order of arrival.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import TableNotFoundError

from storage.kill_points import reach

KEY, EVENT_TIME, LABEL = "_key", "_event_time", "_label"
INGESTED_AT, BATCH_ID, SOURCE = "_ingested_at", "_batch_id", "_source"
# Without its log a data version cannot be loaded again, whatever files are still there.
_KEEP_LOG = {"delta.enableExpiredLogCleanup": "false"}
_TIME = pa.timestamp("us", tz="UTC")


def table_uri(store: Path, problem: str) -> str:
    """Where the problem's Delta table stands."""
    return str(store / "observations" / problem)


def arrow_schema(
    numeric: Sequence[str], categorical: Sequence[str], label_is_number: bool
) -> pa.Schema:
    """Columns of the table: the system's own, then features by name."""
    return pa.schema(
        [
            pa.field(KEY, pa.string()),
            pa.field(EVENT_TIME, _TIME),
            pa.field(INGESTED_AT, _TIME),
            pa.field(BATCH_ID, pa.string()),
            pa.field(SOURCE, pa.string()),
            pa.field(LABEL, pa.float64() if label_is_number else pa.string()),
            *(pa.field(name, pa.float64()) for name in numeric),
            *(pa.field(name, pa.string()) for name in categorical),
        ]
    )


def append_batch(
    store: Path, problem: str, frame: pd.DataFrame, schema: pa.Schema, batch_id: str
) -> int:
    """Append a batch's rows and return the data version that holds them.

    The batch id is committed with the rows, so the same batch is appended once, also when a crash
    came between the append and whatever its caller noted about it.
    """
    uri = table_uri(store, problem)
    known = _open(uri)
    if known is not None and known.transaction_version(batch_id) is not None:
        return int(known.version())
    rows = pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False)
    write_deltalake(
        uri,
        rows,
        mode="append",
        schema_mode="merge",
        configuration=_KEEP_LOG,
        commit_properties=CommitProperties(app_transactions=[Transaction(batch_id, 1)]),
    )
    reach("ingest.rows_appended")
    return int(DeltaTable(uri).version())


def holds_batch(store: Path, problem: str, batch_id: str) -> bool:
    """Whether rows were appended under this batch id."""
    table = _open(table_uri(store, problem))
    return table is not None and table.transaction_version(batch_id) is not None


def data_version(store: Path, problem: str) -> int | None:
    """Newest version of the table, or None when nothing was ever ingested."""
    table = _open(table_uri(store, problem))
    return None if table is None else int(table.version())


def newest_time(store: Path, problem: str, column: str = EVENT_TIME) -> datetime | None:
    """The newest time in a column, aware UTC; None when nothing was ever ingested."""
    table = _open(table_uri(store, problem))
    if table is None:
        return None
    times = table.to_pyarrow_table(columns=[column])[column]
    found: datetime | None = pc.max(times).as_py()
    return found


def known_keys(store: Path, problem: str, keys: Sequence[str], besides: str) -> dict[str, bool]:
    """Whether the label is known, of those ``keys`` that batches other than ``besides`` brought."""
    table = _open(table_uri(store, problem))
    if table is None:
        return {}
    rows = table.to_pyarrow_table(columns=[KEY, LABEL, BATCH_ID])
    asked = pc.is_in(rows[KEY], pa.array(keys, pa.string()), skip_nulls=True)
    rows = rows.filter(pc.and_(asked, pc.not_equal(rows[BATCH_ID], besides)))
    found: dict[str, bool] = {}
    labelled = pc.is_valid(rows[LABEL]).to_pylist()
    for key, is_labelled in zip(rows[KEY].to_pylist(), labelled, strict=True):
        found[key] = found.get(key, False) or is_labelled
    return found


def waiting_rows(store: Path, problem: str, keys: Sequence[str], besides: str) -> pd.DataFrame:
    """The first row of each of ``keys`` that has no label yet, of batches other than ``besides``.

    Keys that are unknown, or whose label is known, give none.
    """
    table = _open(table_uri(store, problem))
    if table is None:
        return pd.DataFrame({KEY: [], LABEL: []})
    rows = table.to_pyarrow_table()
    asked = pc.is_in(rows[KEY], pa.array(keys, pa.string()), skip_nulls=True)
    rows = rows.filter(pc.and_(asked, pc.not_equal(rows[BATCH_ID], besides)))
    frame: pd.DataFrame = rows.sort_by(INGESTED_AT).to_pandas()
    labelled = frame.loc[frame[LABEL].notna(), KEY]
    first = frame[~frame[KEY].isin(labelled)].drop_duplicates(KEY)
    return first.reset_index(drop=True)


def read_observations(
    store: Path,
    problem: str,
    version: int | None = None,
    labelled_only: bool = False,
    newest: int | None = None,
) -> pd.DataFrame:
    """Observations in event-time order (equal times in order of arrival), as of a data version.

    A key whose label came later stands there once, with its label. ``newest`` keeps that many of
    the latest. Empty frame without columns when there is no table.
    """
    table = _open(table_uri(store, problem), version)
    if table is None:
        return pd.DataFrame()
    rows = table.to_pyarrow_table()
    if labelled_only:
        rows = rows.filter(pc.is_valid(rows[LABEL]))
    order = pc.sort_indices(rows, [(EVENT_TIME, "ascending"), (INGESTED_AT, "ascending")])
    frame: pd.DataFrame = rows.take(order).to_pandas()
    if not labelled_only:
        waiting = frame[LABEL].isna() & frame[KEY].isin(frame.loc[frame[LABEL].notna(), KEY])
        frame = frame[~(waiting & frame[KEY].notna())].reset_index(drop=True)
    return frame if newest is None else frame.tail(newest).reset_index(drop=True)


def count_labelled(store: Path, problem: str, after: datetime | None = None) -> int:
    """How many observations have a label, of those whose event time is later than ``after``."""
    table = _open(table_uri(store, problem))
    if table is None:
        return 0
    asked = pc.is_valid(pc.field(LABEL))
    if after is not None:
        asked &= pc.field(EVENT_TIME) > pa.scalar(after, _TIME)
    return int(table.to_pyarrow_dataset().count_rows(filter=asked))


def compact(store: Path, problem: str) -> int:
    """Merge small files without losing a version; returns how many files were merged."""
    table = _open(table_uri(store, problem))
    if table is None:
        return 0
    return int(table.optimize.compact()["numFilesRemoved"])


def remove_old_files(store: Path, problem: str, versions: Sequence[int], hours: int) -> int:
    """Remove files that left the table so long ago, and that none of ``versions`` needs.

    The log stays, so that every data version whose files are there can be loaded. Returns how many
    files were removed.
    """
    table = _open(table_uri(store, problem))
    if table is None:
        return 0
    if table.metadata().configuration.get(*_KEEP_LOG) != "false":
        table.alter.set_table_properties(_KEEP_LOG)  # made before tables kept their log
    known = [version for version in versions if version <= table.version()] or None
    found = table.vacuum(hours, dry_run=True, enforce_retention_duration=False, keep_versions=known)
    # Those removed before are found for ever, and each sweep would be a new data version.
    if not any((Path(table_uri(store, problem)) / name).exists() for name in found):
        return 0
    return len(
        table.vacuum(hours, dry_run=False, enforce_retention_duration=False, keep_versions=known)
    )


def _open(uri: str, version: int | None = None) -> DeltaTable | None:
    try:
        return DeltaTable(uri, version=version)
    except TableNotFoundError:
        return None
