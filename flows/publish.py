"""Publish: a person serves a version of their choice."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flows.each import for_each
from flows.loop_flow import loop_flow
from flows.parameters import ProblemName, Version, Why
from storage.pointers import read_pointer
from tasks.overview import leave_overview
from tasks.record import record_versions
from tasks.rollback import serve_version
from tasks.run import Run


@loop_flow("publish", timeout_minutes=30)
def publish(
    problem: ProblemName = None,
    version: Version = None,
    reason: Why = "",
    previous: bool = False,
    now: datetime | None = None,
) -> dict[str, Any]:
    """Serve the version a person names, or the one before, with a reason; else publish again.

    Publishing again changes nothing that is in order: the pointer, the tables and MLflow are
    brought to agree on the champion, as at the start of every run.

    Args:
        problem: the problem, by its name; empty: each active one (PERENNIAL_ACTIVE)
        version: roll back, or forward, to this version; any that has a bundle, also a refused one
        reason: why, in a sentence that the ledger keeps; a choice of version needs one
        previous: roll back to what was served before the present version was
        now: leave it empty; the time that the run takes for the present, in a replay
    """

    def body(run: Run) -> dict[str, Any]:
        if version is not None or previous:
            serve_version(run, version, reason)
        served = read_pointer(run.store, run.name)
        record_versions(run)
        leave_overview(run)
        if served is None:
            return {"version": None}
        return {"version": served.version, "generation": served.generation}

    return for_each("publish", problem, now, body)
