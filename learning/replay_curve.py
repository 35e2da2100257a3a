"""A metric over time: one value with its interval for each stretch of the stream."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning.counted import counted
from learning.drift_joint import area_with_variance
from learning.error_rate import Z_95, wilson
from learning.metrics import metric_function
from learning.problem import Task
from learning.replay_stream import Stream
from learning.resampling import bootstrap
from learning.rows import Floats

N_POINTS = 40
FEWEST_ROWS = 50
CONFIDENCE = 0.95
# Of what was said, not of the probability behind it.
CUT_METRICS = frozenset({"accuracy", "precision", "recall", "f1"})
# Of the order of the scores alone.
RANKING_METRICS = frozenset({"roc_auc", "pr_auc"})
STRETCH_ROWS = 200


@dataclass(frozen=True)
class Point:
    """The metric over rows ``first`` to ``end``, with its 95% interval; None where undefined."""

    first: int
    end: int
    value: float | None
    low: float | None
    high: float | None


def as_judged(metric: str, output: Floats, thresholds: Floats) -> Floats:
    """Outputs as a metric wants them: of a binary task, what was said where it counts only that."""
    if metric not in CUT_METRICS or output.shape[1] != 2:
        return output
    said = (output[:, 1] >= thresholds).astype(np.float64)
    return np.column_stack([1 - said, said])


def over_models(task: Task, metric: str, y: Floats, output: Floats) -> float:
    """A metric over rows [n] in order that several models answered; nan where it is undefined.

    Ranking metrics are the mean over up to 40 stretches of 200 rows or more, weighed by their rows:
    the scores of two models are not on one scale, and ranked together a better model would look
    worse for being another. Brzezinski and Stefanowski (2017) measure the area under the ROC curve
    of a stream in windows for this reason.
    """
    function = metric_function(task, metric)
    if metric not in RANKING_METRICS:
        return function(y, output)
    n_stretches = min(N_POINTS, len(y) // STRETCH_ROWS) or 1
    parts = np.array_split(np.arange(len(y)), n_stretches)
    values = np.array([function(y[part], output[part]) for part in parts])
    is_known = ~np.isnan(values)
    if not is_known.any():
        return math.nan
    weights = np.array([len(part) for part in parts])
    return float(np.average(values[is_known], weights=weights[is_known]))


def curve(
    task: Task,
    metric: str,
    stream: Stream,
    output: Floats,
    thresholds: Floats,
    rows: NDArray[np.bool_],
) -> tuple[Point, ...]:
    """The metric of the judged rows [n], in stretches of equal length; empty without rows."""
    places = np.flatnonzero(rows)
    n_points = min(N_POINTS, len(places) // FEWEST_ROWS) or min(1, len(places))
    points = []
    for part in np.array_split(places, n_points) if n_points else ():
        y, said = stream.rows.y[part], as_judged(metric, output[part], thresholds[part])
        numbers = [_known(v) for v in with_interval(task, metric, y, said)]
        points.append(Point(int(part[0]), int(part[-1]) + 1, *numbers))
    return tuple(points)


def with_interval(task: Task, metric: str, y: Floats, output: Floats) -> tuple[float, float, float]:
    """A metric and its 95% interval; nan where it is undefined.

    DeLong's for the area under the ROC curve (1988), Wilson's for accuracy (1927), the normal one
    for the mean absolute error, a bootstrap for any other.
    """
    function = metric_function(task, metric)
    value = function(y, output)
    if math.isnan(value):
        return value, value, value
    if metric == "accuracy":
        return value, *wilson(round(value * len(y)), len(y))
    if metric == "mae" or (metric == "roc_auc" and task == "binary" and _has_both(y)):
        reach = Z_95 * _standard_error(metric, y, output)
        return value, value - reach, value + reach
    low, high = bootstrap(counted(task, metric, y, output), len(y), CONFIDENCE, n_resamples=100)
    return value, low, high


def _has_both(y: Floats) -> bool:
    return min(int((y > 0.5).sum()), int((y <= 0.5).sum())) >= 2


def _standard_error(metric: str, y: Floats, output: Floats) -> float:
    if metric == "roc_auc":
        return math.sqrt(area_with_variance(y.astype(int), output[:, 1])[1])
    errors = np.abs(output[:, 0] - y)
    return float(errors.std(ddof=1) / math.sqrt(len(errors))) if len(errors) > 1 else math.nan


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
