"""Ingest: rows from the inbox, the generator and feedback become observations, once."""

from __future__ import annotations

import hashlib
import io
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
from learning.inference import InferenceError
from learning.rows import Schema
from learning.validation import BatchRefusedError
from storage import batches
from storage.database import reading
from storage.tabular import TableError, read_open_table
from tasks.batch import Stored, store_batch
from tasks.champion import served_frame
from tasks.run import Run
from tasks.step import step

SUFFIXES = (".csv", ".csv.gz", ".parquet")
MOST_FEEDBACK = 50_000
SOURCE_LENGTH = 512


@dataclass(frozen=True)
class Ingested:
    """What one source gave in one run."""

    source: str
    n_batches: int
    n_rows: int
    n_quarantined: int
    refused: tuple[str, ...] = ()
    n_repeated: int = 0


def inbox_folder(home: Path, problem: str) -> Path:
    """Where files for a problem are dropped; what was read moves to ``done`` or ``refused``."""
    return home / "inbox" / problem


@step("ingest the inbox", retries=True)
def ingest_inbox(run: Run) -> Ingested:
    """Read each new file of the inbox, oldest name first."""
    folder = inbox_folder(run.settings.home, run.name)
    folder.mkdir(parents=True, exist_ok=True)
    stored: list[Stored] = []
    refused: list[str] = []
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.name.startswith(".") or not path.name.endswith(SUFFIXES):
            continue
        content = _read_settled(run, path)
        if content is None:
            continue
        outcome = _ingest_file(run, path.name, content)
        _move(path, folder / ("refused" if isinstance(outcome, str) else "done"))
        if isinstance(outcome, str):
            refused.append(f"{path.name}: {outcome}")
        else:
            stored.append(outcome)
    return Ingested(
        "inbox",
        len(stored),
        sum(one.n_rows for one in stored),
        sum(one.n_quarantined for one in stored),
        tuple(refused),
        sum(one.n_repeated for one in stored),
    )


def _read_settled(run: Run, path: Path) -> bytes | None:
    """A file's bytes; None when it is still being written, or cannot be read: it stays there."""
    try:
        before = path.stat()
        content = path.read_bytes()
        after = path.stat()
    except FileNotFoundError:
        return None
    except PermissionError as error:
        reason = f"{path.name}: cannot be read: {error.strerror}; make it readable for this user"
        logger.warning("{}: {}", run.name, reason)
        with run.commit() as connection:
            run.alert(connection, alert_text.batch_refused(f"inbox/{path.name}", 0, reason), reason)
        return None
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        logger.info("{}: {} is still being written; it waits", run.name, path.name)
        return None
    return content


def _ingest_file(run: Run, name: str, content: bytes) -> Stored | str:
    digest = hashlib.sha256(content).hexdigest()
    source, batch_id = f"inbox/{name}"[:SOURCE_LENGTH], f"file:{digest}"
    with reading(run.engine) as connection:
        if batches.is_ingested(connection, run.name, batch_id):
            logger.info("{}: {} was ingested before; nothing to add", run.name, name)
            return Stored()
    n_rows = 0
    try:
        frame = read_open_table(io.BytesIO(content), name)
        n_rows = len(frame)
        return store_batch(run, frame, source, batch_id)
    except (TableError, BatchRefusedError, InferenceError) as error:
        _refuse(run, source, batch_id, n_rows, str(error))
        return str(error)


def _move(path: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    target = folder / path.name
    number = 1
    while target.exists():
        number += 1
        target = folder / f"{number}-{path.name}"
    shutil.move(path, target)


def _refuse(run: Run, source: str, batch_id: str, n_rows: int, reason: str) -> None:
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
            run.alert(connection, alert_text.batch_refused(source, n_rows, reason), batch_id)


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
    stored = store_batch(run, frame, "generator", batch_id, watermark=first + n_rows)
    return Ingested("generator", 1, stored.n_rows, stored.n_quarantined, (), stored.n_repeated)


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
    stored: list[Stored] = []
    for batch_id in claims:
        with reading(run.engine) as connection:
            rows = batches.claimed_feedback(connection, run.name, batch_id)
        frame = _feedback_frame(run, rows, schema)
        stored.append(store_batch(run, frame, "feedback", batch_id, is_fed_back=True))
    return Ingested(
        "feedback",
        len(claims),
        sum(one.n_rows for one in stored),
        sum(one.n_quarantined for one in stored),
        (),
        sum(one.n_repeated for one in stored),
    )


def _feedback_frame(run: Run, listed: Sequence[Row[Any]], schema: Schema) -> pd.DataFrame:
    frame = served_frame(run, listed, schema.names)
    frame[schema.target] = [row.actual for row in listed]
    frame["_prediction_time"] = pd.to_datetime([row.event_time for row in listed], utc=True)
    # What a client calls its key tells rows apart only where the problem has a key.
    has_key = run.problem.key is not None
    frame["_prediction_key"] = [(has_key and row.key) or row.prediction_id for row in listed]
    return frame
