"""Watch the inputs: the champion's training rows against what arrives now."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Row

from learning import alert_text
from learning.alert import Alert
from learning.drift import DriftResult, check_drift
from learning.drift_report import render_report
from learning.phrases import DriftedFeature
from learning.rows import Rows, Schema, encode
from storage import reports
from storage.bundles import write_atomically
from storage.database import reading
from storage.observations import SOURCE, read_observations
from tasks.artifacts import show_drift, show_link
from tasks.champion import Champion, encode_served, load_champion
from tasks.run import Run
from tasks.step import step


@step("check for data drift", retries=True)
def watch_drift(run: Run) -> DriftResult | None:
    """Test the current window against the reference and keep the result; None without champion."""
    champion, schema = load_champion(run), run.schema
    if champion is None or schema is None:
        return None
    current = current_window(run, champion, schema)
    result = check_drift(champion.reference, current.x, schema.features, run.problem.drift)
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
    show_drift(run, result)
    return result


def current_window(run: Run, champion: Champion, schema: Schema) -> Rows:
    """The newest rows behind the champion's training window: served ones and new observations.

    Observations that came from feedback are left out, since they were served before.
    """
    newest = run.problem.windows.current_rows
    with reading(run.engine) as connection:
        served = reports.served_rows(connection, run.name, newest)
    parts = [
        encode_served(
            [pd.Timestamp(row.event_time) for row in served],
            [list(row.features) for row in served],
            schema,
        )
    ]
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
            DriftedFeature(
                f.name, "KS" if f.kind == "numeric" else "V", f.effect or 0.0, f.p_adjusted or 0.0
            )
            for f in worst
        ],
    )


@step("render Evidently's report")
def render_drift_report(run: Run) -> str | None:
    """Render the document when the verdict turned, or the last one is old; never fails the run.

    Returns its path below the home folder, None when there was nothing new to render.
    """
    champion, schema = load_champion(run), run.schema
    with reading(run.engine) as connection:
        result = reports.drift_of_run(connection, run.run_id)
    if champion is None or schema is None or result is None or result.drift_share is None:
        return None
    if not _is_report_due(run, result):
        return None
    current = current_window(run, champion, schema)
    rules = run.problem.drift
    html = render_report(champion.reference, current.x, schema.features, rules.alpha, rules.share)
    if html is None:
        return None
    path = f"reports/{run.name}/{run.run_id}.html"
    write_atomically(run.settings.home / path, html.encode())
    with run.commit() as connection:
        reports.attach_report(connection, run.run_id, path)
    show_link(run, "drift-report", path)
    return path


def _is_report_due(run: Run, result: Row[Any]) -> bool:
    if result.report is None:
        return True
    with reading(run.engine) as connection:
        drawn = reports.drift_of_run(connection, PurePosixPath(result.report).stem)
    if drawn is None or drawn.is_drifted != result.is_drifted:
        return True
    every = run.problem.drift.report_every.time
    return every is not None and result.checked_at - drawn.checked_at >= every
