"""Rows that came are counted on from where the last count ended."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import Engine

from storage import batches
from storage.database import reading, writing
from storage.progress import Progress, count_on, read_progress
from tests.storage.test_reports import predicted


def test_only_what_came_since_is_counted(engine: Engine) -> None:
    with reading(engine) as db:
        nothing = count_on(db, "demo", Progress())
    predicted(engine, 1, actual=1)
    predicted(engine, 2)
    with reading(engine) as db:
        first = count_on(db, "demo", nothing)
        assert count_on(db, "other", Progress()) == Progress()
    predicted(engine, 3, actual=0)
    batch = {"problem": "demo", "reason": None, "state": "ingested", "n_quarantined": 0}
    with writing(engine) as db:
        for source, n_rows in (("inbox/a.csv", 40), ("generator", 2), ("feedback", 9)):
            values = {**batch, "batch_id": source, "source": source, "n_rows": n_rows}
            batches.record_batch(db, values)
    with reading(engine) as db:
        second = count_on(db, "demo", read_progress(asdict(first)))

    assert nothing == Progress()
    assert (first.n_served, first.n_labels, first.n_inputs) == (2, 1, 2)
    assert (second.n_served, second.n_labels, second.n_inputs) == (3, 2, 45)
    assert read_progress({"unknown": 1}) == Progress()
