"""Watch the answers: live performance over predictions whose label has arrived."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Row

from learning import alert_text
from learning.alert import Alert
from learning.performance import PerformanceResult, measure_performance
from learning.problem import label_text
from learning.rows import Floats, Schema
from storage import reports
from storage.database import reading
from storage.manifest import Manifest, cut
from tasks.artifacts import show_performance
from tasks.champion import load_champion
from tasks.run import Run
from tasks.step import step


@step("measure live performance", retries=True)
def watch_performance(run: Run) -> PerformanceResult | None:
    """Measure the champion on mature labels and keep the result; None without champion."""
    champion = load_champion(run)
    if champion is None:
        return None
    schema = champion.schema
    until = mature_until(run)
    version = str(champion.version)
    rules = run.problem.performance
    with reading(run.engine) as connection:
        rows = reports.labelled_predictions(connection, run.name, version, until, rules.window_rows)
        share = reports.label_share(connection, run.name, version, until)
    y, output = served_outputs(rows, schema)
    holdout = champion.manifest.metrics.get(champion.manifest.metric)
    threshold = cut(champion.manifest)
    result = measure_performance(schema.task, y, output, threshold, rules, holdout)
    _keep(run, result, champion.manifest, share)
    show_performance(run, result, share)
    return result


def mature_until(run: Run) -> datetime:
    """Event time up to which labels should have arrived.

    A delay given in rows needs no cut: what has a label is what arrived.
    """
    delay = run.problem.label_delay.time
    return run.now - delay if delay is not None else run.now + timedelta(days=1)


def served_outputs(
    listed: Sequence[Row[Any]], schema: Schema
) -> tuple[Floats, NDArray[np.float64]]:
    """Labels [n] and served outputs [n, classes or 1] of stored predictions."""
    if schema.task == "regression":
        y = np.array([float(row.actual) for row in listed], dtype=np.float64)
        values = np.array([float(row.prediction) for row in listed], dtype=np.float64)
        return y, values.reshape(-1, 1)
    index = {name: code for code, name in enumerate(schema.classes)}
    y = np.array([index.get(label_text(row.actual), -1) for row in listed], dtype=np.float64)
    output = np.array([row.probabilities for row in listed], dtype=np.float64)
    output = output.reshape(len(listed), len(schema.classes))
    known = y >= 0
    return y[known], output[known]


def _keep(run: Run, result: PerformanceResult, manifest: Manifest, share: float | None) -> None:
    with run.commit() as connection:
        reports.save_performance(
            connection,
            {
                "run_id": run.run_id,
                "problem": run.name,
                "model_version": manifest.version,
                "metric": result.metric,
                "value": result.value,
                "low": result.low,
                "high": result.high,
                "n_rows": result.n_rows,
                "label_share": share,
                "is_below_floor": result.is_below_floor,
                "reason": result.reason,
                "metrics": result.metrics,
                "clock": run.now,
            },
        )
        if (alert := _told(result, manifest.version)) is not None:
            run.alert(connection, alert)


def _told(result: PerformanceResult, version: str) -> Alert | None:
    """Trouble, or its end; None while nothing can be said."""
    if result.value is None:
        return None
    interval = (result.low or 0.0, result.high or 0.0)
    floor = result.floor
    if result.is_below_floor:
        return alert_text.performance_below_floor(
            version, result.metric, result.value, interval, floor or 0.0, result.n_rows
        )
    return alert_text.performance_recovered(
        version, result.metric, result.value, interval, floor, result.n_rows
    )
