"""Batches: recorded once, refused ones again, and feedback claimed exactly once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, select

from storage import batches
from storage.database import reading, writing
from storage.predictions import store_records
from storage.records import FeedbackItem, FeedbackRecord, PredictionRecord
from storage.tables import batches as table

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def record(engine: Engine, batch_id: str = "b", **values: Any) -> bool:
    """Whether a batch is recorded for the first time."""
    row = {
        "problem": "demo",
        "batch_id": batch_id,
        "source": "generator",
        "state": "ingested",
        "n_rows": 1,
        "n_quarantined": 0,
    }
    with writing(engine) as db:
        return batches.record_batch(db, {**row, **values})


def feed_back(engine: Engine, *ids: str, problem: str = "demo") -> None:
    """Answered predictions with their labels."""
    store_records(
        engine,
        [
            PredictionRecord(problem, name, "1", None, NOW, [1.0], "no", None, b"{}", NOW)
            for name in ids
        ],
    )
    items = [FeedbackItem(name, "yes", NOW) for name in ids]
    store_records(engine, [FeedbackRecord(problem, items, None, NOW)])


def claim(engine: Engine, batch_id: str, limit: int = 99) -> list[str]:
    """The predictions whose feedback a batch has claimed."""
    with writing(engine) as db:
        batches.claim_feedback(db, "demo", batch_id, limit)
    with reading(engine) as db:
        return [row.prediction_id for row in batches.claimed_feedback(db, "demo", batch_id)]


def test_a_batch_is_recorded_once(engine: Engine) -> None:
    assert record(engine)
    assert not record(engine, n_rows=9)
    with reading(engine) as db:
        assert batches.is_ingested(db, "demo", "b")
        assert not batches.is_ingested(db, "demo", "other")
        assert db.execute(select(table.c.n_rows)).scalar_one() == 1


def test_a_refused_batch_may_be_tried_again(engine: Engine) -> None:
    assert record(engine, state="refused", reason="ragged", n_rows=0)
    with reading(engine) as db:
        assert not batches.is_ingested(db, "demo", "b")
    assert record(engine, n_rows=7)
    with reading(engine) as db:
        row = db.execute(select(table)).one()
    assert (row.state, row.reason, row.n_rows) == ("ingested", None, 7)


def test_an_ingested_batch_is_never_refused_afterwards(engine: Engine) -> None:
    record(engine)
    assert not record(engine, state="refused")
    with reading(engine) as db:
        assert batches.is_ingested(db, "demo", "b")


def test_the_watermark_is_the_farthest_of_its_source(engine: Engine) -> None:
    with reading(engine) as db:
        assert batches.watermark(db, "demo", "generator") == 0
    record(engine, "one", watermark=100)
    record(engine, "two", watermark=50)
    record(engine, "three", watermark=900, source="other")
    with reading(engine) as db:
        assert batches.watermark(db, "demo", "generator") == 100


def test_feedback_is_claimed_in_order_and_never_twice(engine: Engine) -> None:
    feed_back(engine, "a", "b", "c")
    feed_back(engine, "theirs", problem="another")
    assert claim(engine, "one", limit=2) == ["a", "b"]
    assert claim(engine, "two") == ["c"]
    assert claim(engine, "three") == []


def test_a_claim_that_was_never_recorded_is_found_again(engine: Engine) -> None:
    feed_back(engine, "a", "b")
    claim(engine, "one", limit=1)
    claim(engine, "two")
    record(engine, "one")
    with reading(engine) as db:
        assert batches.unfinished_claims(db, "demo") == ["two"]
