"""Publish: a person serves a version of their choice."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from prefect import flow

from flows.each import for_each
from tasks.record import record_versions
from tasks.rollback import serve_version
from tasks.run import Run


@flow(name="publish", persist_result=False)
def publish(
    problem: str | None = None,
    version: int | None = None,
    reason: str = "by hand",
    now: datetime | None = None,
) -> dict[str, Any]:
    """Serve the given version, or without one the champion before this one, and say why."""

    def body(run: Run) -> dict[str, Any]:
        served = serve_version(run, version, reason)
        record_versions(run)
        return {"version": served.version, "generation": served.generation}

    return for_each("publish", problem, now, body)
