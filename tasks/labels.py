"""Labels that come without rows: checked and kept until their rows are there."""

from __future__ import annotations

import pandas as pd
from loguru import logger

from learning.late_labels import as_label_batch, fold_repeats, labels_of
from learning.rows import Schema
from learning.validation import validate
from storage import batches, waiting_labels
from storage.kill_points import reach
from storage.quarantine import keep_rows
from tasks.batch import Also, Stored, quarantined
from tasks.run import Run


def keep_labels(
    run: Run,
    frame: pd.DataFrame,
    schema: Schema,
    source: str,
    batch_id: str,
    also: Also | None = None,
) -> Stored:
    """Let a batch of labels wait, noted in one transaction; bad ones are quarantined.

    Raises BatchRefusedError when too many are bad.
    """
    problem, as_labels = as_label_batch(run.problem, schema)
    frame = fold_repeats(frame, run.problem).reset_index(drop=True)
    checked = validate(frame, problem, as_labels, run.now)
    labels = labels_of(checked.good)
    with run.commit() as connection:
        values = {"problem": run.name, "batch_id": batch_id, "source": source, "state": "ingested"}
        counts = {"n_rows": 0, "n_quarantined": len(checked.bad)}
        reason = f"{len(labels)} labels without rows"
        if batches.record_batch(connection, {**values, **counts, "reason": reason}):
            waiting_labels.keep(connection, run.name, source, labels)
            keep_rows(connection, run.name, batch_id, quarantined(checked, problem))
        if also is not None:
            also(connection)
    reach("ingest.labels_kept")
    logger.info("{}: {}: {}", run.name, source, reason)
    return Stored(0, len(checked.bad))
