"""A flow's body for each problem: lease, reconcile, body, alerts."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from loguru import logger
from prefect.context import FlowRunContext
from sqlalchemy.exc import OperationalError

from flows.run_name import name_run, run_name
from learning.models import TrainingError
from settings import Settings, get_settings
from storage.bundles import BundleError
from storage.database import StorageError
from storage.problems import ProblemError
from storage.source_errors import SourceError
from tasks.ingest_named import FileRefusedError
from tasks.notify import deliver_alerts
from tasks.reconcile import reconcile
from tasks.rollback import RollbackError
from tasks.run import BusyError, Run, is_covered, is_too_early, loop_run

# Their messages say all that there is to know; a traceback would hide it.
TOLD = (
    ProblemError,
    TrainingError,
    RollbackError,
    BundleError,
    StorageError,
    OSError,
    OperationalError,
    BusyError,
    SourceError,
    FileRefusedError,
)
# How long a run that a person started waits for the one that is at work, training included.
PATIENCE_SECONDS = 900.0
POLL_SECONDS = 0.5
Body = Callable[[Run], dict[str, Any]]


def for_each(
    flow: str,
    problem: str | None,
    now: datetime | None,
    body: Body,
    settings: Settings | None = None,
) -> dict[str, Any]:
    """Run a body for one problem, or for each active one, and return what each body gave.

    One problem's failure does not keep the others from their turn; it is raised at the end.
    """
    settings = settings or get_settings()
    names = (problem,) if problem else settings.active
    results: dict[str, Any] = {}
    failures: list[Exception] = []
    for name in names:
        try:
            results[name] = _one(flow, name, now, body, settings)
        except TOLD as error:
            logger.error("{}: {} failed: {}", name, flow, error)
            failures.append(error)
        except Exception as error:
            logger.exception("{}: {} failed", name, flow)
            failures.append(error)
    deliver_alerts(settings)
    name_run(run_name(flow, results, names))
    if failures:
        raise failures[0]
    return results


def _one(
    flow: str, problem: str, now: datetime | None, body: Body, settings: Settings
) -> dict[str, Any]:
    due = _scheduled_for()
    if due is not None and is_covered(settings, problem, flow, due):
        return {"skipped": f"the run due at {due:%H:%M:%S} is covered by a later one"}
    if due is not None and is_too_early(settings, problem, flow, due):
        return {"skipped": "its file wants a turn less often (every)"}
    deadline = time.monotonic() + (PATIENCE_SECONDS if _is_wanted() else 0.0)
    while True:
        try:
            with loop_run(problem, flow, now, settings) as run:
                mended = reconcile(run)
                return {"mended": mended, **body(run)} if mended else body(run)
        except BusyError as error:
            if _is_wanted() and time.monotonic() >= deadline:
                raise
            if not _is_wanted():
                return {"skipped": str(error)}
        time.sleep(POLL_SECONDS)


def _is_wanted() -> bool:
    """Whether a person started this run in Prefect: it waits its turn instead of giving way."""
    return FlowRunContext.get() is not None and _scheduled_for() is None


def _scheduled_for() -> datetime | None:
    """When the scheduler wanted this flow run; None for a person's own, which always runs."""
    context = FlowRunContext.get()
    flow_run = context.flow_run if context is not None else None
    if flow_run is None or not flow_run.auto_scheduled or flow_run.expected_start_time is None:
        return None
    return flow_run.expected_start_time.astimezone(UTC)
