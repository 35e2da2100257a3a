"""How far a problem's stream has come: counted on from where the last count ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, func, select

from storage.tables import batches, feedback, predictions


@dataclass(frozen=True)
class Progress:
    """Rows that came so far: predictions served, labels fed back, rows ingested otherwise.

    The ids are those up to which predictions and labels are counted, so that the next count reads
    only what came behind them.
    """

    n_served: int = 0
    n_labels: int = 0
    n_ingested: int = 0
    prediction_id: int = 0
    feedback_id: int = 0

    @property
    def n_inputs(self) -> int:
        """Rows whose inputs are known: served or ingested."""
        return self.n_served + self.n_ingested


def read_progress(kept: Mapping[str, Any]) -> Progress:
    """Progress from a dictionary of its fields; what is missing was never counted."""
    known = Progress.__dataclass_fields__
    return Progress(**{name: int(value) for name, value in kept.items() if name in known})


def count_on(connection: Connection, problem: str, before: Progress) -> Progress:
    """How far the stream has come by now."""
    n_served, prediction_id = _behind(connection, predictions, problem, before.prediction_id)
    n_labels, feedback_id = _behind(connection, feedback, problem, before.feedback_id)
    n_ingested = connection.execute(
        select(func.coalesce(func.sum(batches.c.n_rows), 0)).where(
            batches.c.problem == problem, batches.c.source != "feedback"
        )
    ).scalar_one()
    return Progress(
        before.n_served + n_served,
        before.n_labels + n_labels,
        int(n_ingested),
        prediction_id,
        feedback_id,
    )


def _behind(connection: Connection, table: Table, problem: str, last_id: int) -> tuple[int, int]:
    """How many of the problem's rows have a greater id, and the greatest."""
    count, newest = connection.execute(
        select(func.count(), func.max(table.c.id)).where(
            table.c.id > last_id, table.c.problem == problem
        )
    ).one()
    return int(count), int(newest or last_id)
