"""Watch the inputs: the champion's training rows against what arrives now."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from loguru import logger
from sqlalchemy import Row

from learning import alert_text
from learning.alert import Alert
from learning.drift import DriftResult, check_drift, effect_name
from learning.drift_report import render_report
from learning.phrases import DriftedFeature
from learning.rows import EVENT_TIME, LABEL, Rows, encode
from storage import reports
from storage.bundles import write_atomically
from storage.database import reading
from storage.observations import SOURCE, read_observations
from tasks.artifacts import show_drift, show_link
from tasks.champion import Champion, load_champion, served_frame
from tasks.run import Run
from tasks.step import step


@step("check for data drift", retries=True)
def watch_drift(run: Run) -> DriftResult | None:
    """Test the current window against the reference and keep the result; None without champion."""
    champion = load_champion(run)
    if champion is None:
        return None
    current = current_window(run, champion)
    features = champion.schema.features
    result = check_drift(champion.reference, current.x, features, run.problem.drift)
    with reading(run.engine) as connection:
        before = reports.latest_drift(connection, run.name)
    with run.commit() as connection:
        reports.save_drift(
            connection,
            {
                "run_id": run.run_id,
                "problem": run.name,
                "model_version": str(champion.version),
                "is_drifted": result.is_drifted,
                "drift_share": result.drift_share,
                "n_reference": result.n_reference,
                "n_current": result.n_current,
                "reason": result.reason,
                "features": [asdict(feature) for feature in result.features],
                "report": before.report if before is not None else None,
                "clock": run.now,
            },
        )
        if result.is_drifted:
            run.alert(connection, _drift_alert(result, champion.version))
        elif result.drift_share is not None:
            calm = alert_text.drift_over(str(champion.version), result.drift_share, result.reason)
            run.alert(connection, calm)
    show_drift(run, result)
    return result


def current_window(run: Run, champion: Champion) -> Rows:
    """The newest rows behind the champion's training window: served ones and new observations.

    Encoded as the champion sees them, whatever the problem file says by now.

    Observations that came from feedback are left out, since they were served before.
    """
    newest = run.problem.windows.current_rows
    with reading(run.engine) as connection:
        served = reports.served_rows(connection, run.name, newest, run.latest)
    schema = champion.schema
    inputs = served_frame(run, served, schema.names)
    inputs[EVENT_TIME] = pd.to_datetime([row.event_time for row in served], utc=True)
    inputs[LABEL] = None
    parts = [encode(inputs, schema)]
    observed = read_observations(run.store, run.name)
    if len(observed):
        observed = observed[observed[SOURCE] != "feedback"].tail(newest)
        parts.append(encode(observed, schema))
    times = np.concatenate([part.times for part in parts])
    rows = Rows(
        np.vstack([part.x for part in parts]),
        np.concatenate([part.y for part in parts]),
        times,
    )
    order = np.argsort(times, kind="stable")
    order = order[times[order] > champion.training_end][-newest:]
    return rows.part(order)


def _drift_alert(result: DriftResult, version: int) -> Alert:
    drifted = [f for f in result.features if f.is_drifted]
    testable = [f for f in result.features if f.not_testable is None]
    worst = sorted(drifted, key=lambda f: f.effect or 0.0, reverse=True)[:3]
    return alert_text.drift_found(
        str(version),
        result.drift_share or 0.0,
        len(drifted),
        len(testable),
        result.threshold,
        [
            DriftedFeature(f.name, effect_name(f), f.effect or 0.0, f.p_adjusted or 0.0)
            for f in worst
        ],
    )


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
    rules = run.problem.drift
    current = current_window(run, checked)
    features = checked.schema.features
    return render_report(checked.reference, current.x, features, rules.alpha, rules.share)


def _is_report_due(run: Run, result: Row[Any]) -> bool:
    if result.report is None:
        return True
    with reading(run.engine) as connection:
        drawn = reports.drift_of_run(connection, PurePosixPath(result.report).stem)
    if drawn is None or drawn.is_drifted != result.is_drifted:
        return True
    every = run.problem.drift.report_every.time
    return every is not None and result.checked_at - drawn.checked_at >= every
