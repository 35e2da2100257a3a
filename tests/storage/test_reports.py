"""What watching and deciding left behind."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from storage import reports
from storage.database import reading, writing
from storage.predictions import store_records
from storage.records import FeedbackItem, FeedbackRecord, PredictionRecord

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DRIFT: dict[str, Any] = {
    "problem": "demo",
    "model_version": "1",
    "is_drifted": False,
    "drift_share": float("nan"),
    "n_reference": 1,
    "n_current": 1,
    "reason": "none",
    "features": [{"name": "x", "effect": float("inf")}],
    "clock": NOW,
}
DECISION: dict[str, Any] = {
    "problem": "demo",
    "kind": "gate",
    "go": True,
    "reason": "none",
    "evidence": {"gain": float("nan")},
    "clock": NOW,
}


def predicted(engine: Engine, hours: int, version: str = "1", actual: Any = None) -> None:
    """A prediction made at an hour, and its label when that is known."""
    name, at = f"{version}-{hours}", NOW + timedelta(hours=hours)
    record = PredictionRecord("demo", name, version, None, at, [hours, "é"], 1, None, b"{}", NOW)
    store_records(engine, [record])
    if actual is not None:
        items = [FeedbackItem(name, actual, NOW)]
        store_records(engine, [FeedbackRecord("demo", items, None, NOW)])


@pytest.mark.parametrize(
    ("save", "values", "latest"),
    [
        (reports.save_drift, DRIFT, lambda db: reports.latest_drift(db, "demo")),
        (reports.save_decision, DECISION, lambda db: reports.gate_decision(db, "run-1")),
    ],
)
def test_a_run_leaves_one_of_each(
    engine: Engine,
    save: Callable[[Connection, dict[str, Any]], None],
    values: dict[str, Any],
    latest: Callable[[Connection], Any],
) -> None:
    with reading(engine) as db:
        assert latest(db) is None
    for reason in ("first", "second"):
        with writing(engine) as db:
            save(db, {**values, "run_id": "run-1", "reason": reason})
    with reading(engine) as db:
        assert latest(db).reason == "first"


def test_a_report_is_named_at_its_drift_result(engine: Engine) -> None:
    with writing(engine) as db:
        reports.save_drift(db, {**DRIFT, "run_id": "run-1"})
        reports.attach_report(db, "run-1", "reports/a.html")
    with reading(engine) as db:
        found = reports.drift_of_run(db, "run-1")
    assert found is not None
    assert found.report == "reports/a.html"
    assert found.features == [{"name": "x", "effect": None}]


def test_decisions_come_newest_first_by_kind(engine: Engine) -> None:
    with writing(engine) as db:
        for run_id, kind in (("a", "gate"), ("a", "retrain"), ("b", "gate")):
            reports.save_decision(db, {**DECISION, "run_id": run_id, "kind": kind})
    with reading(engine) as db:
        assert [row.run_id for row in reports.decisions_of(db, "demo", "gate", 9)] == ["b", "a"]


def test_served_rows_come_newest_first_with_the_version_that_answered(engine: Engine) -> None:
    for hours in (2, 3, 1):
        predicted(engine, hours)
    with reading(engine) as db:
        rows = reports.served_rows(db, "demo", 2)
    assert [(row.features, row.model_version) for row in rows] == [([3, "é"], "1"), ([2, "é"], "1")]
