"""Ingest: what one source gave in one run, and what becomes of a batch that does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from loguru import logger

from learning import alert_text
from learning.inference import InferenceError
from learning.late_labels import holds_labels_only
from learning.validation import BatchRefusedError
from storage import batches
from storage.tabular import TableError
from tasks.batch import Also, Stored, store_batch
from tasks.labels import keep_labels
from tasks.run import Run

SOURCE_LENGTH = 512
# What a batch may be refused for: it is told of, and nothing of it is stored.
REFUSALS = (TableError, BatchRefusedError, InferenceError)


@dataclass(frozen=True)
class Ingested:
    """What one source gave in one run."""

    source: str
    n_batches: int = 0
    n_rows: int = 0
    n_quarantined: int = 0
    refused: tuple[str, ...] = ()
    n_repeated: int = 0
    failure: str | None = None

    @classmethod
    def of(
        cls,
        source: str,
        stored: Sequence[Stored],
        refused: Sequence[str] = (),
        failure: str | None = None,
    ) -> Ingested:
        """The sum of a source's batches."""
        return cls(
            source,
            len(stored),
            sum(one.n_rows for one in stored),
            sum(one.n_quarantined for one in stored),
            tuple(refused),
            sum(one.n_repeated for one in stored),
            failure,
        )


def take_batch(
    run: Run, frame: pd.DataFrame, source: str, batch_id: str, also: Also | None = None
) -> Stored:
    """Store a batch of rows, or let a batch of labels without rows wait for theirs.

    Raises one of `REFUSALS` when nothing of it may be stored.
    """
    schema = run.schema
    if schema is not None and holds_labels_only(frame, run.problem, schema):
        return keep_labels(run, frame, schema, source, batch_id, also)
    return store_batch(run, frame, source, batch_id, also=also)


def refuse_batch(
    run: Run,
    source: str,
    batch_id: str,
    n_rows: int,
    reason: str,
    also: Also | None = None,
) -> None:
    """Note a batch that was refused whole, and tell of it."""
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
        if also is not None:
            also(connection)
        if is_new:
            alert = alert_text.batch_refused(source, n_rows, reason, run.column_names)
            run.alert(connection, alert, batch_id)
