"""Live performance in the status: its number, what it stands beside, and its course."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection

from learning.phrases import RIVALS, figure
from storage import performance

NEWEST_POINTS = 100
WORST_SLICES = 3


def live_facts(connection: Connection, problem: str) -> dict[str, Any]:
    """``live_metric`` (None before the first measurement) and its ``live_course``, oldest first."""
    row = performance.latest_performance(connection, problem)
    course = performance.course_of_performance(connection, problem, NEWEST_POINTS)
    if row is None:
        return {"live_metric": None, "live_course": []}
    live = {
        "metric": row.metric,
        "value": row.value,
        "low": row.low,
        "high": row.high,
        "rows": row.n_rows,
        "is_below_floor": row.is_below_floor,
        "floor": row.floor,
        "model_version": row.model_version,
        "label_share": row.label_share,
        "reason": row.reason,
        "metrics": row.metrics,
        "intervals": row.intervals or {},
        "rivals": row.rivals or [],
        "slices": row.slices or [],
        "measured_at": row.measured_at,
    }
    return {"live_metric": live, "live_course": list(course)}


def live_lines(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Rows of the status table: live performance, what is beside it, its worst slices."""
    live = found["live_metric"]
    if live is None:
        yield "live", "no labels yet"
        return
    arrived = ""
    if live["label_share"] is not None:
        arrived = f"; {live['label_share']:.0%} of the labels arrived"
    yield "live", live["reason"] + arrived
    if live["rivals"]:
        yield "beside it", "; ".join(_beside(rival) for rival in live["rivals"])
    known = [part for part in live["slices"] if part["value"] is not None]
    known.sort(key=lambda part: not part["is_below_floor"])
    for part in known[:WORST_SLICES]:
        below = ", below the floor" if part["is_below_floor"] else ""
        text = f"{figure(part['value'], part['low'], part['high'])} on {part['n_rows']} labels"
        yield f"where {part['name']}", text + below


def _beside(rival: dict[str, Any]) -> str:
    gain = figure(rival["gain"], rival["gain_low"], rival["gain_high"])
    return f"{RIVALS[rival['name']]} {figure(rival['value'])} (gain {gain})"
