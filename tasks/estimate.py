"""Watch the answers before their labels come: an estimate, and later what became of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from loguru import logger
from sqlalchemy import Row

from learning.calibration import Scaling
from learning.estimate import (
    EstimateResult,
    estimate_by_confidence,
    estimate_by_loss,
    judge_estimate,
)
from learning.loss_model import loss_kind
from learning.metrics import metric_function
from learning.onnx_export import run_graph
from learning.performance import chosen_metric, performance_floor
from learning.problem import PerformanceRules
from learning.rows import encode_features
from storage import estimates
from storage.bundles import BundleError
from storage.database import reading
from storage.kill_points import reach
from storage.manifest import cut
from tasks.artifacts import show_estimate
from tasks.champion import Champion, load_champion, served_frame
from tasks.performance import judged_rows, served_output
from tasks.run import Run
from tasks.step import step

N_OPEN = 50
# An estimate is compared when nearly all of its labels came, or when it is this many old.
ENOUGH_LABELS, PATIENCE = 0.9, 10
N_SETTLED = 50

Numbers = tuple[float, float, float]


@step("estimate performance without labels", retries=True)
def watch_estimate(run: Run) -> EstimateResult | None:
    """Estimate the champion's metric on its newest answers; None without champion.

    It is made anew when `min_rows` answers have come since the last one. Estimates whose labels
    came meanwhile are compared with them.
    """
    _settle_open(run)
    champion = load_champion(run)
    if champion is None:
        return None
    rules, version = run.problem.performance, str(champion.version)
    with reading(run.engine) as connection:
        last = estimates.latest_estimate(connection, run.name, version)
        after = 0 if last is None else last.newest_id
        n_new = estimates.count_served(connection, run.name, version, after)
    if n_new < rules.min_rows:
        metric = chosen_metric(champion.schema.task, rules)
        few = judge_estimate(metric, _NOTHING, n_new, rules, None)
        return few if last is None else _again(last)
    with reading(run.engine) as connection:
        needs_inputs = champion.loss is not None
        rows = estimates.served_predictions(
            connection, run.name, version, rules.window_rows, needs_inputs
        )
    result = _estimate(run, champion, rows)
    _keep(run, result, version, rows)
    with reading(run.engine) as connection:
        settled = estimates.settled_estimates(connection, run.name, N_SETTLED)
    show_estimate(run, result, settled)
    return result


_NOTHING: Numbers = (math.nan,) * 3


def _estimate(run: Run, champion: Champion, rows: Sequence[Row[Any]]) -> EstimateResult:
    rules, task, manifest = run.problem.performance, champion.schema.task, champion.manifest
    metric = chosen_metric(task, rules)
    floor = performance_floor(task, rules, manifest.expected_live)
    numbers = _NOTHING
    if task == "regression":
        numbers = _by_loss(run, champion, rows, metric, rules)
    elif manifest.calibration:
        numbers = estimate_by_confidence(
            task,
            metric,
            served_output(rows, champion.schema),
            cut(manifest),
            [Scaling(*values) for values in manifest.calibration],
            rules.confidence,
        )
    return judge_estimate(metric, numbers, len(rows), rules, floor)


def _by_loss(
    run: Run, champion: Champion, rows: Sequence[Row[Any]], metric: str, rules: PerformanceRules
) -> Numbers:
    spec = champion.manifest.loss
    if champion.loss is None or spec is None or spec.kind != loss_kind(metric):
        return _NOTHING
    schema = champion.schema
    frame = served_frame(run, rows, schema.names)
    losses = run_graph(champion.loss, encode_features(frame, schema.features))[:, 0]
    return estimate_by_loss(
        metric, losses.astype(np.float64), spec.spread, spec.n_rows, rules.confidence
    )


def _again(row: Row[Any]) -> EstimateResult:
    return EstimateResult(
        row.metric,
        row.value,
        row.low,
        row.high,
        row.n_rows,
        row.floor,
        row.is_below_floor,
        row.reason,
    )


def _keep(run: Run, result: EstimateResult, version: str, rows: Sequence[Row[Any]]) -> None:
    with run.commit() as connection:
        estimates.save_estimate(
            connection,
            {
                "run_id": run.run_id,
                "problem": run.name,
                "model_version": version,
                **vars(result),
                "oldest_id": rows[-1].id,
                "newest_id": rows[0].id,
                "clock": run.now,
            },
        )
    reach("monitor.estimate_saved")


def _settle_open(run: Run) -> None:
    """Compare open estimates with their labels, as soon as these are there."""
    with reading(run.engine) as connection:
        waiting = estimates.open_estimates(connection, run.name, N_OPEN)
        known = [estimates.count_labels_of(connection, row) for row in waiting]
    champions: dict[str, Champion | None] = {}
    for age, (row, n_known) in enumerate(zip(reversed(waiting), reversed(known), strict=True)):
        is_old = age >= PATIENCE and n_known >= run.problem.performance.min_rows
        if n_known < ENOUGH_LABELS * row.n_rows and not is_old:
            continue
        version = row.model_version
        if version not in champions:
            champions[version] = _former(run, version)
        champion = champions[version]
        with run.commit() as connection:
            realised = None
            if champion is not None:
                rows = estimates.labels_of(connection, row)
                realised = _realised(champion, row.metric, rows)
            estimates.settle(connection, row.id, realised, n_known)


def _former(run: Run, version: str) -> Champion | None:
    try:
        return load_champion(run, int(version))
    except BundleError as error:
        logger.warning(
            "{}: estimates of version {} cannot be compared: {}", run.name, version, error
        )
        return None


def _realised(champion: Champion, metric: str, rows: Sequence[Row[Any]]) -> float | None:
    judged = judged_rows(rows, champion.schema)
    function = metric_function(champion.schema.task, metric, cut(champion.manifest))
    found = function(judged.y, judged.output)
    return found if math.isfinite(found) else None
