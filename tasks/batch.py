"""One batch: checked, appended to the observations once, noted and told of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from loguru import logger

from learning import alert_text
from learning.rows import Schema
from learning.validation import BatchRefusedError, Validated, validate
from storage import batches
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
)
from storage.schemas import keep_schema
from tasks.run import Run
from tasks.schema import infer_schema

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
) -> Stored:
    """Validate a batch, append its good rows to the observations, note it and tell of it.

    A key is stored once: a row whose key is known is left out, unless it brings the label that was
    missing. Each part is idempotent, so a crash anywhere is mended by storing the same batch again.
    """
    problem, schema = run.problem, run.schema or infer_schema(run.problem, frame)
    if is_fed_back:
        changes = {"event_time": "_prediction_time", "key": "_prediction_key"}
        problem = problem.model_copy(update={**changes, "max_bad_share": 1.0})
    _refuse_own_names(schema)
    checked, stored = None, Stored()
    if not (is_fed_back and frame.empty):
        checked = validate(frame, problem, schema, _behind_all(run, EVENT_TIME), run.latest)
        good = checked.good if problem.key is None else _unknown(run, checked.good, batch_id)
        stored = Stored(len(good), len(checked.bad), len(checked.good) - len(good))
        checked = replace(checked, good=good)
    if run.schema is None:
        with run.commit() as connection:
            keep_schema(connection, run.name, schema)
    version = _append(run, checked, schema, source, batch_id) if checked else None
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
        if is_new and checked is not None:
            rows = [
                {"row_number": bad.row_number, "quarantine_reason": bad.reason, "row": bad.row}
                for bad in checked.bad
            ]
            batches.quarantine_rows(connection, run.name, batch_id, rows)
            alert = alert_text.batch_ingested(
                source, stored.n_rows, stored.n_quarantined, checked.reasons
            )
            run.alert(connection, alert, batch_id)
    return stored


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


def _behind_all(run: Run, column: str) -> datetime:
    """Now, or just behind all that is stored: batches of one run, and a clock that went back."""
    newest = newest_time(run.store, run.name, column)
    return run.now if newest is None else max(run.now, newest + timedelta(microseconds=1))


def _unknown(run: Run, good: pd.DataFrame, batch_id: str) -> pd.DataFrame:
    """The rows whose key is not stored yet, or whose label is the first of their key."""
    known = known_keys(run.store, run.name, good[KEY].tolist(), besides=batch_id)
    is_new = [
        key not in known or (has_label and not known[key])
        for key, has_label in zip(good[KEY], good[LABEL].notna(), strict=True)
    ]
    return good[is_new].reset_index(drop=True)


def _append(run: Run, checked: Validated, schema: Schema, source: str, batch_id: str) -> int | None:
    if checked.good.empty:
        return None
    frame = checked.good
    order = pd.to_timedelta(np.arange(len(frame)), unit="us")
    frame[INGESTED_AT] = pd.Timestamp(_behind_all(run, INGESTED_AT)) + order
    frame[BATCH_ID] = batch_id
    frame[SOURCE] = source.partition("/")[0]
    numeric = [f.name for f in schema.features if f.kind == "numeric"]
    categorical = [f.name for f in schema.features if f.kind == "categorical"]
    columns = arrow_schema(numeric, categorical, schema.task == "regression")
    return append_batch(run.store, run.name, frame, columns, batch_id)
