"""Publish: a person serves a version of their choice."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from prefect import flow

from flows.each import for_each
from storage.pointers import read_pointer
from tasks.record import record_versions
from tasks.rollback import serve_version
from tasks.run import Run


@flow(name="publish", persist_result=False)
def publish(
    problem: str | None = None,
    version: int | None = None,
    reason: str = "",
    now: datetime | None = None,
) -> dict[str, Any]:
    """Serve the version a person names, with a reason; without one, publish the champion again.

    Publishing again changes nothing that is in order: the pointer, the tables and MLflow are
    brought to agree on the champion, as at the start of every run.
    """

    def body(run: Run) -> dict[str, Any]:
        served = read_pointer(run.store, run.name)
        if version is not None:
            served = serve_version(run, version, reason)
        record_versions(run)
        if served is None:
            return {"version": None}
        return {"version": served.version, "generation": served.generation}

    return for_each("publish", problem, now, body)
