"""Live performance at rest: what is judged, kept once, and read back as a series."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Engine

from storage import performance
from storage.database import reading, writing
from tests.storage.test_reports import NOW, predicted

PERFORMANCE: dict[str, Any] = {
    "problem": "demo",
    "model_version": "1",
    "metric": "mae",
    "value": 1.0,
    "low": None,
    "high": None,
    "n_rows": 9,
    "label_share": None,
    "is_below_floor": False,
    "reason": "none",
    "metrics": {"mae": 1.0},
    "clock": NOW,
}


def test_only_mature_labels_of_the_version_are_judged(engine: Engine) -> None:
    predicted(engine, 1, actual=5)
    predicted(engine, 2)
    predicted(engine, 9, actual=6)
    predicted(engine, 1, version="2", actual=7)
    until = NOW + timedelta(hours=2)
    with reading(engine) as db:
        (row,) = performance.judged_predictions(db, "demo", "1", until, 9, with_features=True)
        assert (row.actual, row.features, row.model_version) == (5, [1, "é"], "1")
        assert performance.label_share(db, "demo", "1", until, 9) == 0.5
        assert performance.label_share(db, "demo", "1", until, 1) == 0  # the newest has none yet
        assert performance.label_share(db, "demo", "3", until, 9) is None


def test_labels_come_in_the_order_of_their_arrival_whatever_they_are_of(engine: Engine) -> None:
    for hours, version in ((3, "1"), (1, "2"), (2, "1")):
        predicted(engine, hours, version, actual=hours)
    with reading(engine) as db:
        later = NOW + timedelta(seconds=1)
        assert [r.actual for r in performance.arrived_labels(db, "demo", later, 9)] == [3, 1, 2]
        assert [r.actual for r in performance.arrived_labels(db, "demo", later, 2)] == [1, 2]
        assert not performance.arrived_labels(db, "demo", NOW, 9)


def test_what_says_the_same_again_is_kept_once(engine: Engine) -> None:
    measured = [("a", 1.0), ("a", 2.0), ("b", 1.0), ("c", 3.0), ("d", 1.0)]
    with writing(engine) as db:
        kept = [
            performance.save_performance(db, {**PERFORMANCE, "run_id": run_id, "value": value})
            for run_id, value in measured
        ]
    with reading(engine) as db:
        course = performance.course_of_performance(db, "demo", 9)
        newest = performance.latest_performance(db, "demo")
        assert performance.latest_performance(db, "other") is None
        assert len(performance.course_of_performance(db, "demo", 2)) == 2

    # The second of run a, and run b, which says what a said.
    assert kept == [True, False, False, True, True]
    assert [point["value"] for point in course] == [1.0, 3.0, 1.0]
    assert {"low", "high", "floor", "clock", "rivals"} <= set(course[0])
    assert newest is not None
    assert (newest.run_id, newest.metrics, newest.slices) == ("d", {"mae": 1.0}, [])
