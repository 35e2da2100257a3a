"""Ingest: rows from the inbox, the generator and feedback become observations, once."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from loguru import logger
from sqlalchemy import Row

from learning import alert_text
from learning.generator import generate
from learning.inference import InferenceError, infer_problem
from learning.rows import Schema
from learning.validation import BatchRefusedError, Validated, validate
from storage import batches
from storage.database import reading
from storage.observations import (
    BATCH_ID,
    INGESTED_AT,
    SOURCE,
    append_batch,
    arrow_schema,
)
from storage.schemas import keep_schema
from storage.tabular import TableError, read_table
from tasks.run import Run
from tasks.step import step

SUFFIXES = (".csv", ".csv.gz", ".parquet")
MOST_FEEDBACK = 50_000


@dataclass(frozen=True)
class Ingested:
    """What one source gave in one run."""

    source: str
    n_batches: int
    n_rows: int
    n_quarantined: int
    refused: tuple[str, ...] = ()


def inbox_folder(home: Path, problem: str) -> Path:
    """Where files for a problem are dropped; what was read moves to ``done`` or ``refused``."""
    return home / "inbox" / problem


@step("ingest the inbox", retries=True)
def ingest_inbox(run: Run) -> Ingested:
    """Read each new file of the inbox, oldest name first."""
    folder = inbox_folder(run.settings.home, run.name)
    folder.mkdir(parents=True, exist_ok=True)
    n_batches = n_rows = n_bad = 0
    refused: list[str] = []
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.name.startswith(".") or not path.name.endswith(SUFFIXES):
            continue
        reason = _ingest_file(run, path)
        _move(path, folder / ("refused" if isinstance(reason, str) else "done"))
        if isinstance(reason, str):
            refused.append(f"{path.name}: {reason}")
            continue
        n_batches, n_rows, n_bad = n_batches + 1, n_rows + reason[0], n_bad + reason[1]
    return Ingested("inbox", n_batches, n_rows, n_bad, tuple(refused))


def _ingest_file(run: Run, path: Path) -> tuple[int, int] | str:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    source, batch_id = f"inbox/{path.name}", f"file:{digest}"
    with reading(run.engine) as connection:
        if batches.is_known(connection, run.name, batch_id):
            logger.info("{}: {} was ingested before; nothing to add", run.name, path.name)
            return (0, 0)
    try:
        frame = read_table(path)
        return store_batch(run, frame, source, batch_id)
    except (TableError, BatchRefusedError, InferenceError) as error:
        _refuse(run, source, batch_id, str(error))
        return str(error)


def _move(path: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    target = folder / path.name
    number = 1
    while target.exists():
        number += 1
        target = folder / f"{number}-{path.name}"
    shutil.move(path, target)


def _refuse(run: Run, source: str, batch_id: str, reason: str) -> None:
    logger.warning("{}: {} refused: {}", run.name, source, reason)
    with run.commit() as connection:
        is_new = batches.record_batch(
            connection,
            {
                "problem": run.name,
                "batch_id": batch_id,
                "source": source,
                "state": "refused",
                "reason": reason,
                "n_rows": 0,
                "n_quarantined": 0,
            },
        )
        if is_new:
            run.alert(connection, alert_text.batch_refused(source, 0, reason), batch_id)


@step("ingest generated rows", retries=True)
def ingest_generator(run: Run) -> Ingested:
    """Add the next rows of the problem's seeded generator, if it is one of the sources."""
    generator = run.problem.generator
    if generator is None or "generator" not in run.problem.sources:
        return Ingested("generator", 0, 0, 0)
    with reading(run.engine) as connection:
        first = batches.watermark(connection, run.name, "generator")
    n_rows = generator.rows_per_run if first else generator.bootstrap_rows
    if not n_rows:
        return Ingested("generator", 0, 0, 0)
    return generate_rows(run, first, n_rows)


def generate_rows(run: Run, first: int, n_rows: int) -> Ingested:
    """Store generated rows ``first`` to ``first + n_rows`` as one batch."""
    frame = generate(run.problem, n_rows, first)
    batch_id = f"generator:{first}-{first + n_rows}"
    stored, bad = store_batch(run, frame, "generator", batch_id, watermark=first + n_rows)
    return Ingested("generator", 1, stored, bad)


@step("ingest feedback", retries=True)
def ingest_feedback(run: Run) -> Ingested:
    """Turn predictions whose label has arrived into labelled observations."""
    schema = run.schema
    if schema is None or "feedback" not in run.problem.sources:
        return Ingested("feedback", 0, 0, 0)
    with run.commit() as connection:
        batches.claim_feedback(connection, run.name, f"feedback:{run.run_id}", MOST_FEEDBACK)
    with reading(run.engine) as connection:
        claims = batches.unfinished_claims(connection, run.name)
    n_rows = n_bad = 0
    for batch_id in claims:
        with reading(run.engine) as connection:
            rows = batches.claimed_feedback(connection, run.name, batch_id)
        frame = _feedback_frame(rows, schema)
        stored, bad = store_batch(run, frame, "feedback", batch_id, is_fed_back=True)
        n_rows, n_bad = n_rows + stored, n_bad + bad
    return Ingested("feedback", len(claims), n_rows, n_bad)


def _feedback_frame(listed: Sequence[Row[Any]], schema: Schema) -> pd.DataFrame:
    columns = list(zip(*(row.features for row in listed), strict=True)) if listed else []
    frame = pd.DataFrame(
        {name: list(values) for name, values in zip(schema.names, columns, strict=False)},
        columns=list(schema.names),
    )
    frame[schema.target] = [row.actual for row in listed]
    frame["_prediction_time"] = pd.to_datetime([row.event_time for row in listed], utc=True)
    frame["_prediction_key"] = [row.key or row.prediction_id for row in listed]
    return frame


def store_batch(
    run: Run,
    frame: pd.DataFrame,
    source: str,
    batch_id: str,
    watermark: int | None = None,
    is_fed_back: bool = False,
) -> tuple[int, int]:
    """Validate a batch, append its good rows to the observations, note it and tell of it.

    Returns how many rows were stored and how many quarantined. Each part is idempotent, so a
    crash anywhere is mended by storing the same batch again.
    """
    problem, schema = run.problem, _schema_for(run, frame)
    if is_fed_back:
        changes = {"event_time": "_prediction_time", "key": "_prediction_key"}
        problem = problem.model_copy(update={**changes, "max_bad_share": 1.0})
    checked = None if is_fed_back and frame.empty else validate(frame, problem, schema, run.now)
    version = _append(run, checked, schema, source, batch_id) if checked else None
    n_rows, n_bad = (len(checked.good), len(checked.bad)) if checked else (0, 0)
    with run.commit() as connection:
        is_new = batches.record_batch(
            connection,
            {
                "problem": run.name,
                "batch_id": batch_id,
                "source": source,
                "state": "ingested",
                "n_rows": n_rows,
                "n_quarantined": n_bad,
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
            alert = alert_text.batch_ingested(source, n_rows, n_bad, checked.reasons)
            run.alert(connection, alert, batch_id)
    return n_rows, n_bad


def _schema_for(run: Run, frame: pd.DataFrame) -> Schema:
    schema = run.schema
    if schema is not None:
        return schema
    problem = run.problem
    inferred = infer_problem(
        frame,
        problem.target,
        name=problem.name,
        event_time=problem.event_time,
        key=problem.key,
        drop=problem.drop,
    ).problem
    changes = {"task": problem.task} if problem.task != "auto" else {}
    if problem.features:
        changes["features"] = problem.features  # type: ignore[assignment]
    if problem.classes:
        changes["classes"] = problem.classes  # type: ignore[assignment]
    schema = Schema.of(inferred.model_copy(update=changes))
    with run.commit() as connection:
        keep_schema(connection, run.name, schema)
    return schema


def _append(run: Run, checked: Validated, schema: Schema, source: str, batch_id: str) -> int | None:
    if checked.good.empty:
        return None
    frame = checked.good
    frame[INGESTED_AT] = pd.Timestamp(run.now)
    frame[BATCH_ID] = batch_id
    frame[SOURCE] = source.partition("/")[0]
    numeric = [f.name for f in schema.features if f.kind == "numeric"]
    categorical = [f.name for f in schema.features if f.kind == "categorical"]
    columns = arrow_schema(numeric, categorical, schema.task == "regression")
    return append_batch(run.store, run.name, frame, columns, batch_id)
