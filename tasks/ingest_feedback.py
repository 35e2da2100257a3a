"""Feedback as a source: predictions whose label has arrived become labelled observations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from sqlalchemy import Row

from learning.rows import Schema
from storage import batches
from storage.database import reading
from storage.kill_points import reach
from tasks.batch import Stored, store_batch
from tasks.champion import served_frame
from tasks.ingest import Ingested
from tasks.run import Run
from tasks.step import step

MOST_FEEDBACK = 50_000


@step("ingest feedback", retries=True)
def ingest_feedback(run: Run) -> Ingested:
    """Turn predictions whose label has arrived into labelled observations."""
    schema = run.schema
    if schema is None or "feedback" not in run.problem.sources:
        return Ingested("feedback")
    with run.commit() as connection:
        batches.claim_feedback(connection, run.name, f"feedback:{run.run_id}", MOST_FEEDBACK)
    reach("ingest.feedback_claimed")
    with reading(run.engine) as connection:
        claims = batches.unfinished_claims(connection, run.name)
    stored: list[Stored] = []
    for batch_id in claims:
        with reading(run.engine) as connection:
            rows = batches.claimed_feedback(connection, run.name, batch_id)
        frame = _feedback_frame(run, rows, schema)
        stored.append(store_batch(run, frame, "feedback", batch_id, is_fed_back=True))
    return Ingested.of("feedback", stored)


def _feedback_frame(run: Run, listed: Sequence[Row[Any]], schema: Schema) -> pd.DataFrame:
    frame = served_frame(run, listed, schema.names)
    frame[schema.target] = [row.actual for row in listed]
    frame["_prediction_time"] = pd.to_datetime([row.event_time for row in listed], utc=True)
    # What a client calls its key tells rows apart only where the problem has a key.
    has_key = run.problem.key is not None
    frame["_prediction_key"] = [(has_key and row.key) or row.prediction_id for row in listed]
    return frame
