"""Ingest: fetch, check and store new rows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flows.each import for_each
from flows.loop_flow import loop_flow
from flows.parameters import FilePath, ProblemName
from settings import get_settings
from storage.problems import ProblemError
from tasks.ingest import Ingested
from tasks.ingest_feedback import ingest_feedback
from tasks.ingest_generator import ingest_generator
from tasks.ingest_inbox import ingest_inbox
from tasks.ingest_labels import merge_labels
from tasks.ingest_named import ingest_named
from tasks.ingest_sources import ingest_source
from tasks.quarantine import finish_releases
from tasks.run import Run


@loop_flow("ingest", timeout_minutes=60)
def ingest(
    problem: ProblemName = None, file: FilePath = None, now: datetime | None = None
) -> dict[str, Any]:
    """Take new rows and labels from all sources into the observations.

    Args:
        problem: one problem, by its name; empty: each active one (PERENNIAL_ACTIVE)
        file: one file to take now, by its path in the problem's inbox, in data/ of the home
            folder or in PERENNIAL_SOURCE_ROOTS; empty: every source, the inbox among them
        now: leave it empty; the time that the run takes for the present, in a replay
    """
    if file is None:
        return for_each("ingest", problem, now, ingest_all)
    settings = get_settings()
    if problem is None and len(settings.active) > 1:
        raise ProblemError(
            f"{file}: found no problem; expected the one that this file belongs to, of "
            f"{', '.join(settings.active)}"
        )

    def body(run: Run) -> dict[str, Any]:
        return {"file": _counts(ingest_named(run, file))}

    return for_each("ingest", problem, now, body)


def ingest_all(run: Run) -> dict[str, Any]:
    """Ingest every source of a problem and say what each one gave."""
    finish_releases(run)
    results = [
        ingest_inbox(run),
        ingest_generator(run),
        *(ingest_source(run, source.name) for source in run.problem.outside),
        ingest_feedback(run),
        merge_labels(run),
    ]
    return {result.source: _counts(result) for result in results if _has_news(result)}


def _has_news(result: Ingested) -> bool:
    return bool(result.n_batches or result.refused or result.failure)


def _counts(result: Ingested) -> dict[str, Any]:
    counts: dict[str, Any] = {"rows": result.n_rows, "quarantined": result.n_quarantined}
    if result.n_repeated:
        counts["repeated"] = result.n_repeated
    if result.refused:
        counts["refused"] = list(result.refused)
    if result.failure:
        counts["failed"] = result.failure
    return counts
