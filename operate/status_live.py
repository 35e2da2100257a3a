"""Live performance in the status: its number, what it stands beside, and its course."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection

from learning.phrases import RIVALS, figure
from storage import estimates, performance

NEWEST_POINTS = 100
NEWEST_SETTLED = 50
WORST_SLICES = 3


def live_facts(connection: Connection, problem: str, version: int | None) -> dict[str, Any]:
    """``live_metric`` (None before the first measurement), its ``live_course``, ``estimate``."""
    return _measured(connection, problem) | {"estimate": _estimated(connection, problem, version)}


def _estimated(connection: Connection, problem: str, version: int | None) -> dict[str, Any] | None:
    """The champion's newest estimate without labels, and how well earlier ones were met."""
    row = None
    if version is not None:
        row = estimates.latest_estimate(connection, problem, str(version))
    if row is None:
        return None
    settled = estimates.settled_estimates(connection, problem, NEWEST_SETTLED)
    pairs = [
        {
            "value": one.value,
            "low": one.low,
            "high": one.high,
            "realised": one.realised,
            "error": one.error,
            "is_covered": one.is_covered,
            "rows": one.realised_rows,
            "model_version": one.model_version,
            "clock": one.clock,
        }
        for one in settled
    ]
    return {
        "metric": row.metric,
        "value": row.value,
        "low": row.low,
        "high": row.high,
        "rows": row.n_rows,
        "is_below_floor": row.is_below_floor,
        "reason": row.reason,
        "compared": pairs,
    }


def _measured(connection: Connection, problem: str) -> dict[str, Any]:
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
    """Rows of the status table: live performance, what is beside it, its slices, the estimate."""
    yield from _measured_lines(found["live_metric"])
    if (estimate := found["estimate"]) is not None:
        yield "estimate", estimate["reason"]
        if compared := estimate["compared"]:
            mean = sum(one["error"] for one in compared) / len(compared)
            held = sum(one["is_covered"] for one in compared)
            text = f"by the labels {mean:+.3f} on average; {held} of {len(compared)} intervals held"
            yield "estimates before", text


def _measured_lines(live: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
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
