"""Upkeep: compaction of the observations and retention of documents."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from storage.observations import compact
from storage.traffic import remove_old_samples
from tasks.batch import trim_quarantine
from tasks.run import Run
from tasks.step import step

DRAFT_SECONDS = 3_600
WORD_SECONDS = 86_400


@step("compact observations", retries=True)
def compact_observations(run: Run) -> int:
    """Merge the small files of the Delta table; returns how many were merged."""
    return compact(run.store, run.name)


@step("trim the quarantine")
def remove_old_quarantine(run: Run) -> int:
    """Hold the quarantine to its bounds; returns how many waiting rows were lost."""
    with run.commit() as connection:
        return trim_quarantine(run, connection)


@step("remove old files")
def remove_old_files(run: Run) -> int:
    """Remove old drift documents, and what killed writers and killed servers left behind."""
    removed = _remove_old_reports(run)
    for draft in (run.store / "bundles" / run.name).glob(".draft-*"):
        if _age_seconds(draft) > DRAFT_SECONDS:
            shutil.rmtree(draft, ignore_errors=True)
            removed += 1
    for word in (run.store / "servers" / run.name).glob("*.json"):
        if _age_seconds(word) > WORD_SECONDS:
            word.unlink(missing_ok=True)
            removed += 1
    return removed + remove_old_samples(run.store)


def _remove_old_reports(run: Run) -> int:
    """Remove documents beyond their number or age; the newest is what the API shows, and stays."""
    folder = run.settings.home / "reports" / run.name
    rules = run.problem.drift
    documents = sorted(folder.glob("*.html"), key=lambda path: path.stat().st_mtime)
    longest = rules.reports_max_age.time
    removed = 0
    for place, path in enumerate(reversed(documents)):
        is_old = longest is not None and _age_seconds(path) > longest.total_seconds()
        if place and (place >= rules.reports_kept or is_old):
            path.unlink(missing_ok=True)
            removed += 1
    for draft in folder.glob(".draft-*"):
        if _age_seconds(draft) > DRAFT_SECONDS:
            draft.unlink(missing_ok=True)
            removed += 1
    return removed


def _age_seconds(path: Path) -> float:
    return time.time() - path.stat().st_mtime
