"""Ingest: what one source gave in one run, and what becomes of a batch that does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loguru import logger

from learning import alert_text
from learning.inference import InferenceError
from learning.validation import BatchRefusedError
from storage import batches
from storage.tabular import TableError
from tasks.batch import Stored
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

    @classmethod
    def of(cls, source: str, stored: Sequence[Stored], refused: Sequence[str] = ()) -> Ingested:
        """The sum of a source's batches."""
        return cls(
            source,
            len(stored),
            sum(one.n_rows for one in stored),
            sum(one.n_quarantined for one in stored),
            tuple(refused),
            sum(one.n_repeated for one in stored),
        )


def refuse_batch(run: Run, source: str, batch_id: str, n_rows: int, reason: str) -> None:
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
        if is_new:
            alert = alert_text.batch_refused(source, n_rows, reason, run.column_names)
            run.alert(connection, alert, batch_id)
