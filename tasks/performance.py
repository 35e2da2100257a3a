"""Watch the answers: live performance over predictions whose label has arrived."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from loguru import logger
from sqlalchemy import Row

from learning import alert_text
from learning.alert import Alert
from learning.metrics import gain
from learning.performance import PerformanceResult, measure_performance
from learning.performance_rivals import Rival, as_output, compare, last_arrived
from learning.performance_slices import SliceResult, measure_slices, slice_rows
from learning.rows import Floats, Schema, encode_features, encode_labels
from storage import performance, releases
from storage.bundles import BundleError
from storage.database import reading
from storage.kill_points import reach
from storage.manifest import cut
from tasks.artifacts import show_performance
from tasks.champion import Champion, load_champion, rival_output, served_frame
from tasks.run import Run
from tasks.step import step

# Labels that are looked through for the last one that had arrived, as a multiple of the window.
ARRIVALS = 5
# Mature predictions over which the share of labels is counted, as a multiple of the window.
SHARE_OF = 10


@dataclass(frozen=True)
class Judged:
    """Mature predictions of the champion: rows, labels [n] and outputs [n, classes or 1]."""

    rows: Sequence[Row[Any]]
    y: Floats
    output: Floats


@step("measure live performance", retries=True)
def watch_performance(run: Run) -> PerformanceResult | None:
    """Measure the champion on mature labels and keep the result; None without champion."""
    champion = load_champion(run)
    if champion is None:
        return None
    rules, manifest, task = run.problem.performance, champion.manifest, champion.schema.task
    until, version = mature_until(run), str(champion.version)
    with reading(run.engine) as connection:
        first = releases.first_served(connection, run.name)
        needs_inputs = bool(run.problem.slices) or first != champion.version
        rows = performance.judged_predictions(
            connection, run.name, version, until, rules.window_rows, needs_inputs
        )
        share = performance.label_share(
            connection, run.name, version, until, SHARE_OF * rules.window_rows
        )
    judged, threshold = judged_rows(rows, champion.schema), cut(manifest)
    result = measure_performance(
        task,
        judged.y,
        judged.output,
        threshold,
        rules,
        manifest.expected_live,
        run.problem.costs,
    )
    if result.value is not None:
        served = Rival("served", judged.output, threshold)
        rivals = tuple(_rivals(run, champion, judged, first))
        result = replace(
            result,
            rivals=compare(task, result.metric, judged.y, served, rivals, rules.confidence),
            slices=_slices(run, champion, judged, result),
        )
    _keep(run, result, version, share)
    show_performance(run, result, share)
    return result


def mature_until(run: Run) -> datetime:
    """Event time up to which labels should have arrived.

    A delay given in rows needs no cut: what has a label is what arrived.
    """
    delay = run.problem.label_delay.time
    return run.now - delay if delay is not None else run.now + timedelta(days=1)


def judged_rows(listed: Sequence[Row[Any]], schema: Schema) -> Judged:
    """Stored predictions with their labels as the rules see them; foreign classes are left out."""
    y = encode_labels(pd.Series([row.actual for row in listed], dtype=object), schema)
    output = served_output(listed, schema)
    known = ~np.isnan(y)
    rows = [row for row, is_known in zip(listed, known, strict=True) if is_known]
    return Judged(rows, y[known], output[known])


def served_output(listed: Sequence[Row[Any]], schema: Schema) -> Floats:
    """Outputs [n, classes or 1] of stored predictions."""
    if schema.task == "regression":
        values = np.array([float(row.prediction) for row in listed], dtype=np.float64)
        return values.reshape(-1, 1)
    output = np.array([row.probabilities for row in listed], dtype=np.float64)
    return output.reshape(len(listed), len(schema.classes))


def _rivals(run: Run, champion: Champion, judged: Judged, first: int | None) -> Iterator[Rival]:
    n_classes = len(champion.schema.classes)
    yield Rival("no_change", as_output(_last_labels(run, champion, judged), n_classes))
    frozen = _frozen(run, champion, judged, first)
    if frozen is not None:
        yield frozen
    baseline = np.array(champion.manifest.baseline)
    if len(baseline):
        yield Rival("dummy", np.tile(baseline, (len(judged.y), 1)))


def _last_labels(run: Run, champion: Champion, judged: Judged) -> Floats:
    """The last label that had arrived when each row was predicted; NaN where none had."""
    asked = _moments([row.created_at for row in judged.rows])
    newest = ARRIVALS * run.problem.performance.window_rows
    until = max(row.created_at for row in judged.rows)
    with reading(run.engine) as connection:
        arrived = performance.arrived_labels(connection, run.name, until, newest)
    labels = encode_labels(
        pd.Series([row.actual for row in arrived], dtype=object), champion.schema
    )
    return last_arrived(asked, _moments([row.received_at for row in arrived]), labels)


def _moments(times: Sequence[datetime]) -> np.ndarray[Any, np.dtype[np.datetime64]]:
    return np.array([time.replace(tzinfo=None) for time in times], dtype="datetime64[us]")


def _frozen(run: Run, champion: Champion, judged: Judged, first: int | None) -> Rival | None:
    """The model that was served first, as if it had been kept; None where it cannot be asked."""
    if first is None:
        return None
    if first == champion.version:
        return Rival("frozen", judged.output, cut(champion.manifest))
    try:
        frozen = load_champion(run, first)
    except BundleError as error:
        logger.warning("{}: no frozen first model to compare with: {}", run.name, error)
        return None
    if frozen is None or frozen.manifest.task != champion.manifest.task:
        return None
    frame = served_frame(run, judged.rows, frozen.schema.names)
    output = rival_output(frozen, frame, champion.schema, judged.output)
    return Rival("frozen", np.asarray(output, dtype=np.float64), cut(frozen.manifest))


def _slices(
    run: Run, champion: Champion, judged: Judged, result: PerformanceResult
) -> tuple[SliceResult, ...]:
    if not run.problem.slices:
        return ()
    schema = champion.schema
    frame = served_frame(run, judged.rows, schema.names)
    x = encode_features(frame, schema.features)
    return measure_slices(
        schema.task,
        result.metric,
        judged.y,
        judged.output,
        cut(champion.manifest),
        list(slice_rows(x, schema.features, run.problem.slices)),
        run.problem.performance,
        result.floor,
    )


def _keep(run: Run, result: PerformanceResult, version: str, share: float | None) -> None:
    with run.commit() as connection:
        performance.save_performance(
            connection,
            {
                "run_id": run.run_id,
                "problem": run.name,
                "model_version": version,
                "metric": result.metric,
                "value": result.value,
                "low": result.low,
                "high": result.high,
                "n_rows": result.n_rows,
                "label_share": share,
                "floor": result.floor,
                "is_below_floor": result.is_below_floor,
                "reason": result.reason,
                "metrics": result.metrics,
                "intervals": result.intervals,
                "rivals": [asdict(rival) for rival in result.rivals],
                "slices": [asdict(part) for part in result.slices],
                "clock": run.now,
            },
        )
        if (alert := _told(result, version)) is not None:
            run.alert(connection, alert)
    reach("monitor.performance_saved")


def _told(result: PerformanceResult, version: str) -> Alert | None:
    """Trouble, or its end; None while nothing can be said.

    Trouble is surely below the floor; its end is at the floor or above. What lies between is
    neither, so that an incident does not close on a value that is still too low.
    """
    if result.value is None:
        return None
    interval = (result.low or 0.0, result.high or 0.0)
    floor = result.floor
    if result.is_below_floor:
        return alert_text.performance_below_floor(
            version, result.metric, result.value, interval, floor or 0.0, result.n_rows
        )
    if floor is not None and gain(result.metric, result.value, floor) < 0:
        return None
    return alert_text.performance_recovered(
        version, result.metric, result.value, interval, floor, result.n_rows
    )
