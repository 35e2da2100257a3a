"""Maintain: keep what is at rest small and whole."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flows.each import for_each
from flows.loop_flow import loop_flow
from flows.parameters import ProblemName
from tasks.collection import collect_bundles, remove_old_data
from tasks.maintenance import compact_observations, remove_old_files, remove_old_quarantine
from tasks.record import record_versions
from tasks.run import Run


@loop_flow("maintain", timeout_minutes=120, retries=2)
def maintain(problem: ProblemName = None, now: datetime | None = None) -> dict[str, Any]:
    """Merge small files, remove documents past their retention, record what MLflow missed.

    Args:
        problem: one problem, by its name; empty: each active one (PERENNIAL_ACTIVE)
        now: leave it empty; the time that the run takes for the present, in a replay
    """
    return for_each("maintain", problem, now, _maintain)


def _maintain(run: Run) -> dict[str, Any]:
    return {
        "files_merged": compact_observations(run),
        "files_removed": remove_old_files(run),
        "bundles_removed": collect_bundles(run),
        "data_files_removed": remove_old_data(run),
        "quarantined_rows_lost": remove_old_quarantine(run),
        "recorded": record_versions(run),
    }
