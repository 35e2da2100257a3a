"""Where labels came from: which client sent each, and which batches came after a data version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from storage.tables import batches, feedback, predictions


def fed_back(connection: Connection, problem: str, newest: int) -> Sequence[Row[Any]]:
    """The newest labels that a batch took in: prediction, key, token and what was answered."""
    return connection.execute(
        select(
            feedback.c.prediction_id,
            feedback.c.token_id,
            predictions.c.key,
            predictions.c.prediction,
        )
        .join(
            predictions,
            (predictions.c.problem == feedback.c.problem)
            & (predictions.c.prediction_id == feedback.c.prediction_id),
        )
        .where(feedback.c.problem == problem, feedback.c.batch_id.is_not(None))
        .order_by(feedback.c.id.desc())
        .limit(newest)
    ).all()


def batches_after(connection: Connection, problem: str, data_version: int) -> set[str]:
    """Batches that brought rows after a data version, by any source but ``/feedback``."""
    found = connection.execute(
        select(batches.c.batch_id).where(
            batches.c.problem == problem,
            batches.c.source != "feedback",
            batches.c.data_version > data_version,
        )
    )
    return set(found.scalars())
