"""Draw Evidently's document of a check, after the decision and in a process of its own."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from loguru import logger
from sqlalchemy import Row

from learning.drift_report import Answers
from storage import performance, reports
from storage.bundles import write_atomically
from storage.database import reading
from storage.manifest import cut
from tasks.artifacts import show_link
from tasks.champion import Champion, load_champion
from tasks.drift import current_window
from tasks.performance import judged_rows, mature_until
from tasks.report_process import Request, draw
from tasks.run import Run
from tasks.step import step


@step("render Evidently's report")
def render_drift_report(run: Run) -> str | None:
    """Render the document when the verdict turned, or the last one is old; never fails the run.

    Returns its path below the home folder, None when there was nothing new to render. A challenger
    that took over in this run changes nothing: the document shows the check that was made.
    """
    with reading(run.engine) as connection:
        result = reports.drift_of_run(connection, run.run_id)
    if result is None or result.drift_share is None or not _is_report_due(run, result):
        return None
    path = f"reports/{run.name}/{run.run_id}.html"
    try:
        html = _render(run, int(result.model_version))
        if html is None:
            return None
        write_atomically(run.settings.home / path, html.encode())
    except Exception as error:  # a picture that cannot be drawn is no reason to fail
        logger.warning("{}: no drift report: {}: {}", run.name, type(error).__name__, error)
        return None
    with run.commit() as connection:
        reports.attach_report(connection, run.run_id, path)
    show_link(run, "drift-report", path)
    return path


def _render(run: Run, version: int) -> str | None:
    checked = load_champion(run, version)
    if checked is None:
        return None
    rules, schema = run.problem.drift, checked.schema
    current = current_window(run, checked)
    answers = _answers(run, checked)
    return draw(
        Request(checked.reference, current.x, schema.features, rules.alpha, rules.share, answers)
    )


def _answers(run: Run, champion: Champion) -> Answers | None:
    """The newest served answers of the checked version whose label has arrived."""
    schema, newest = champion.schema, run.problem.performance.window_rows
    until, version = mature_until(run), str(champion.version)
    with reading(run.engine) as connection:
        rows = performance.judged_predictions(connection, run.name, version, until, newest, False)
    if not rows:
        return None
    judged = judged_rows(rows, schema)
    return Answers(schema.task, schema.classes, judged.y, judged.output, cut(champion.manifest))


def _is_report_due(run: Run, result: Row[Any]) -> bool:
    if result.report is None:
        return True
    with reading(run.engine) as connection:
        drawn = reports.drift_of_run(connection, PurePosixPath(result.report).stem)
    if drawn is None or drawn.is_drifted != result.is_drifted:
        return True
    every = run.problem.drift.report_every.time
    return every is not None and result.checked_at - drawn.checked_at >= every
