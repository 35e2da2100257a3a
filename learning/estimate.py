"""Performance without labels: what the labels of these answers will probably say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from learning.calibration import Scaling, calibrate
from learning.expected_metrics import expected_metric
from learning.metrics import metric_function
from learning.performance import against_floor
from learning.problem import PerformanceRules, Task
from learning.rows import Floats

N_DRAWS = 200
# Moved inputs lie where only a part of the known rows did: as if one in so many bore on them.
LOCAL = 3


@dataclass(frozen=True)
class EstimateResult:
    """The metric that these answers will probably turn out to have, with its interval.

    ``value``, ``low`` and ``high`` are None when nothing can be foretold.
    """

    metric: str
    value: float | None
    low: float | None
    high: float | None
    n_rows: int
    floor: float | None
    is_below_floor: bool
    reason: str


def estimate_by_confidence(
    task: Task,
    metric: str,
    output: Floats,
    threshold: float,
    scalings: Sequence[Scaling],
    confidence: float,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Confidence-based estimate of a classifier's metric on outputs [n, classes].

    The value is the expectation under the calibrated probabilities (as in NannyML's CBPE). The
    interval is that of the metric the labels of these very rows will give: labels are drawn from
    calibrations which themselves are drawn as the holdout leaves them open. It holds while the
    relation of inputs to labels does; concept drift cannot be seen without labels.
    """
    value = expected_metric(task, metric, calibrate(output, scalings), output, threshold)
    if math.isnan(value):
        return (math.nan,) * 3
    rng, function = np.random.default_rng(seed), metric_function(task, metric, threshold)
    drawn = []
    for _ in range(N_DRAWS):
        chances = calibrate(output, [scaling.draw(rng) for scaling in scalings])
        drawn.append(function(draw_labels(chances, rng), output))
    low, high = _quantiles(np.array(drawn), confidence)
    return value, low, high


def draw_labels(chances: Floats, rng: np.random.Generator) -> Floats:
    """A class [n] for each row of class probabilities [n, classes]."""
    below = np.cumsum(chances, axis=1)[:, :-1]
    return np.asarray((rng.random(len(chances))[:, None] >= below).sum(axis=1), dtype=np.float64)


def estimate_by_loss(
    metric: str, losses: Floats, spread: float, n_known: int, confidence: float
) -> tuple[float, float, float]:
    """Direct estimate of a regression's error from the losses [n] that a second model foretells.

    ``losses`` are absolute (mae) or squared errors (rmse). ``spread`` is how far a loss strays from
    what was foretold, relative to that (larger losses stray further), on the ``n_known`` rows that
    the second model was fitted on. The interval is normal, for the mean of n such losses.
    """
    losses = np.maximum(losses, 0.0)
    mean, square = float(losses.mean()), float((losses**2).mean())
    error = spread * math.sqrt(square * (1 / len(losses) + LOCAL / n_known))
    reach = float(stats.norm.ppf((1 + confidence) / 2)) * error
    numbers = (mean, max(0.0, mean - reach), mean + reach)
    value, low, high = (math.sqrt(x) for x in numbers) if metric == "rmse" else numbers
    return value, low, high


def judge_estimate(
    metric: str,
    numbers: tuple[float, float, float],
    n_rows: int,
    rules: PerformanceRules,
    floor: float | None,
) -> EstimateResult:
    """The estimate with its verdict: below the floor when the whole interval is."""
    value, low, high = numbers
    if n_rows < rules.min_rows:
        reason = f"{metric} not estimated: {n_rows} answers are fewer than {rules.min_rows}"
        return EstimateResult(metric, None, None, None, n_rows, floor, False, reason)
    if math.isnan(value) or math.isnan(low):
        reason = f"{metric} cannot be estimated without labels for this model"
        return EstimateResult(metric, None, None, None, n_rows, floor, False, reason)
    is_below, comparison = against_floor(metric, low, high, floor)
    reason = (
        f"{metric} estimated at {value:.3f} [{low:.3f}, {high:.3f}] for {n_rows} answers, "
        f"without their labels{comparison}"
    )
    return EstimateResult(metric, value, low, high, n_rows, floor, is_below, reason)


def _quantiles(drawn: Floats, confidence: float) -> tuple[float, float]:
    known = drawn[~np.isnan(drawn)]
    if not len(known):
        return math.nan, math.nan
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
