"""One batch: checked, appended to the observations once, noted and told of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from loguru import logger
from sqlalchemy import Connection

from learning import alert_text
from learning.late_labels import fold_repeats
from learning.problem import Problem
from learning.rows import Schema
from learning.validation import Validated, validate
from learning.validation_schema import BatchRefusedError, refuse_changed_types
from storage import batches
from storage.kill_points import reach
from storage.observations import (
    BATCH_ID,
    EVENT_TIME,
    INGESTED_AT,
    KEY,
    LABEL,
    SOURCE,
    append_batch,
    arrow_schema,
    known_keys,
    newest_time,
    waiting_rows,
)
from storage.quarantine import keep_rows
from storage.quarantine_retention import trim
from storage.schemas import keep_schema
from tasks.run import Run
from tasks.schema import infer_schema

# What else belongs into the transaction that notes a batch, such as how far its source was read.
Also = Callable[[Connection], None]
OWN_COLUMNS = (KEY, EVENT_TIME, LABEL, INGESTED_AT, BATCH_ID, SOURCE)


@dataclass(frozen=True)
class Stored:
    """What became of one batch: rows stored, quarantined, and left out since their key is known."""

    n_rows: int = 0
    n_quarantined: int = 0
    n_repeated: int = 0


def store_batch(
    run: Run,
    frame: pd.DataFrame,
    source: str,
    batch_id: str,
    watermark: int | None = None,
    is_fed_back: bool = False,
    also: Also | None = None,
) -> Stored:
    """Validate a batch, append its good rows to the observations, note it and tell of it.

    A key is stored once: a row whose key is known is left out, unless it brings the label that was
    missing. Each part is idempotent, so a crash anywhere is mended by storing the same batch again.
    ``also`` is done in the transaction that notes the batch.
    """
    schema = run.schema or infer_schema(run.problem, frame)
    _refuse_own_names(schema)
    problem = as_fed_back(run.problem) if is_fed_back else run.problem
    checked, stored = None, Stored()
    if not (is_fed_back and frame.empty):
        if not is_fed_back:
            refuse_changed_types(frame, problem, schema)
        checked = _validated(run, frame, problem, schema)
        good = unknown_rows(run, checked.good, batch_id)
        n_repeated = len(frame) - len(checked.bad) - len(good)
        stored = Stored(len(good), len(checked.bad), n_repeated)
        checked = replace(checked, good=good)
    if run.schema is None:
        with run.commit() as connection:
            keep_schema(connection, run.name, schema)
        reach("ingest.schema_kept")
    version = append_rows(run, checked.good, schema, source, batch_id) if checked else None
    _note(run, source, batch_id, stored, version, watermark, checked, problem, also)
    return stored


def _validated(run: Run, frame: pd.DataFrame, problem: Problem, schema: Schema) -> Validated:
    """The batch without superfluous repeats, validated; bad rows by their number in all of it."""
    folded = fold_repeats(frame.reset_index(drop=True), problem)
    checked = validate(folded, problem, schema, arrival_time(run, problem), run.latest)
    bad = [
        replace(row, row_number=int(folded.index[row.row_number - 1]) + 1) for row in checked.bad
    ]
    return replace(checked, bad=tuple(bad))


def _note(
    run: Run,
    source: str,
    batch_id: str,
    stored: Stored,
    version: int | None,
    watermark: int | None,
    checked: Validated | None,
    problem: Problem,
    also: Also | None,
) -> None:
    """Record the batch, its quarantined rows and the alert in one transaction."""
    known = f"{stored.n_repeated} rows repeat a known key" if stored.n_repeated else None
    if known:
        logger.info("{}: {}: {}; left out", run.name, source, known)
    with run.commit() as connection:
        is_new = batches.record_batch(
            connection,
            {
                "problem": run.name,
                "batch_id": batch_id,
                "source": source,
                "state": "ingested",
                "reason": known,
                "n_rows": stored.n_rows,
                "n_quarantined": stored.n_quarantined,
                "watermark": watermark,
                "data_version": version,
            },
        )
        if also is not None:
            also(connection)
        if is_new and checked is not None:
            keep_rows(connection, run.name, batch_id, quarantined(checked, problem))
            trim_quarantine(run, connection)
            alert = alert_text.batch_ingested(
                source, stored.n_rows, stored.n_quarantined, checked.reasons, run.column_names
            )
            run.alert(connection, alert, batch_id)
    reach("ingest.batch_noted")


def quarantined(checked: Validated, problem: Problem) -> list[dict[str, Any]]:
    """Bad rows as the quarantine keeps them."""
    return [
        {
            "row_number": bad.row_number,
            "quarantine_reason": bad.reason,
            "row": bad.row,
            "event_time": bad.event_time,
            "event_time_column": problem.event_time,
        }
        for bad in checked.bad
    ]


def trim_quarantine(run: Run, connection: Connection) -> int:
    """Hold the quarantine to its bounds; returns how many waiting rows were lost, and says so."""
    rules = run.problem.quarantine
    before = datetime.now(UTC) - timedelta(days=rules.keep_days)
    lost = trim(connection, run.name, rules.most_rows, before)
    if lost:
        logger.warning(
            "{}: {} quarantined rows were given up: more than {} rows, or older than {} days",
            run.name,
            lost,
            rules.most_rows,
            rules.keep_days,
        )
    return lost


def as_fed_back(problem: Problem) -> Problem:
    """The rules for rows from feedback: times and keys of their own, and never refused whole."""
    changes = {"event_time": "_prediction_time", "key": "_prediction_key", "max_bad_share": 1.0}
    return problem.model_copy(update=changes)


def _refuse_own_names(schema: Schema) -> None:
    """Raise BatchRefusedError for features that the table of observations could not tell apart."""
    seen = {name.lower(): name for name in OWN_COLUMNS}
    for name in schema.names:
        if other := seen.get(name.lower()):
            ours = ", a column of ours" if other in OWN_COLUMNS else ", but for capital letters"
            raise BatchRefusedError(
                f"column {name!r} has the name of {other!r}{ours}: rename it in the source, "
                "or list it under drop in the problem file"
            )
        seen[name.lower()] = name


def arrival_time(run: Run, problem: Problem) -> datetime:
    """The event time of rows that have none of their own: behind all that is stored."""
    return run.now if problem.event_time is not None else behind_all(run, EVENT_TIME)


def behind_all(run: Run, column: str) -> datetime:
    """Now, or just behind all that is stored: batches of one run, and a clock that went back."""
    newest = newest_time(run.store, run.name, column)
    return run.now if newest is None else max(run.now, newest + timedelta(microseconds=1))


def unknown_rows(run: Run, good: pd.DataFrame, batch_id: str) -> pd.DataFrame:
    """The rows whose key is not stored yet, or whose label is the first of their key.

    A row that brings a late label stays as it was first seen, since features may tell by then what
    came of it. Rows without a key cannot be told apart and all count; the index stays as it was.
    """
    keys = good[KEY].dropna().tolist()
    if not keys:
        return good
    known = known_keys(run.store, run.name, keys, besides=batch_id)
    has_label = good[LABEL].notna()
    is_late = has_label & good[KEY].map(lambda key: known.get(key) is False)
    new = good[is_late | ~good[KEY].isin(known)]
    if not is_late.any():
        return new
    late = good.loc[is_late, KEY]
    stored = waiting_rows(run.store, run.name, late.tolist(), besides=batch_id).set_index(KEY)
    first = stored.reindex(late).set_axis(late.index).reindex(columns=good.columns)
    first[KEY], first[LABEL] = late, good.loc[is_late, LABEL]
    return pd.concat([new[~is_late[new.index]], first.astype(good.dtypes)]).sort_index()


def append_rows(
    run: Run, good: pd.DataFrame, schema: Schema, source: str, batch_id: str
) -> int | None:
    """Append rows to the observations under a batch's id, once; the data version that has them."""
    if good.empty:
        return None
    order = pd.to_timedelta(np.arange(len(good)), unit="us")
    own: dict[str, Any] = {
        INGESTED_AT: pd.Timestamp(behind_all(run, INGESTED_AT)) + order,
        BATCH_ID: batch_id,
        SOURCE: source.partition("/")[0],
    }
    numeric = [f.name for f in schema.features if f.kind == "numeric"]
    categorical = [f.name for f in schema.features if f.kind == "categorical"]
    columns = arrow_schema(numeric, categorical, schema.task == "regression")
    return append_batch(run.store, run.name, good.assign(**own), columns, batch_id)
