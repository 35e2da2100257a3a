"""Maintain: keep what is at rest small and whole."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from prefect import flow

from flows.each import for_each
from tasks.collection import collect_bundles, remove_old_data
from tasks.maintenance import compact_observations, remove_old_files, remove_old_quarantine
from tasks.record import record_versions
from tasks.run import Run


@flow(name="maintain", persist_result=False)
def maintain(problem: str | None = None, now: datetime | None = None) -> dict[str, Any]:
    """Merge small files, remove documents past their retention, record what MLflow missed."""
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
