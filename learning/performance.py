"""Live performance: how good were the served answers, now that their labels are known?"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from learning.counted import counted, counted_all
from learning.metrics import (
    LOWER_IS_BETTER,
    all_metrics,
    default_metric,
    gain,
    metric_function,
)
from learning.performance_rivals import Comparison
from learning.performance_slices import SliceResult
from learning.problem import Costs, PerformanceRules, Task
from learning.resampling import bootstrap, bootstrap_all
from learning.rows import Floats


@dataclass(frozen=True)
class PerformanceResult:
    """The served model's metric over mature labels, with its confidence interval.

    ``value``, ``low`` and ``high`` are None when too few labels have arrived to say anything.
    ``intervals`` holds those of all ``metrics``; ``rivals`` and ``slices`` were judged on the same
    rows.
    """

    metric: str
    value: float | None
    low: float | None
    high: float | None
    n_rows: int
    floor: float | None
    is_below_floor: bool
    metrics: dict[str, float]
    reason: str
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    rivals: tuple[Comparison, ...] = ()
    slices: tuple[SliceResult, ...] = ()


def chosen_metric(task: Task, rules: PerformanceRules) -> str:
    """The metric the problem file names, or the task's default."""
    return default_metric(task) if rules.metric == "auto" else rules.metric


def expected_value(metric: str, holdout: float | None, former: float | None) -> float | None:
    """What a champion is expected to reach live: its holdout's value, or half way to the former's.

    A champion made in the midst of a change, of rows from which nothing could learn enough yet,
    must not make its own poor value the measure of harm; one that cannot be better for good is
    halfway forgiven with each that follows. ``former`` is what its predecessor was expected to
    reach. None where the holdout said nothing.
    """
    if holdout is None or math.isnan(holdout):
        return None
    if former is None or gain(metric, former, holdout) <= 0:
        return holdout
    return (holdout + former) / 2


def performance_floor(task: Task, rules: PerformanceRules, expected: float | None) -> float | None:
    """The worst acceptable value: the stated floor, else what is expected less the drop.

    For errors the drop is a share of the expected value. None when neither is known.
    """
    if rules.floor is not None:
        return rules.floor
    if expected is None or math.isnan(expected):
        return None
    if chosen_metric(task, rules) in LOWER_IS_BETTER:
        return expected * (1 + rules.max_rise)
    return expected - rules.max_drop


def measure_performance(
    task: Task,
    y: Floats,
    output: Floats,
    threshold: float,
    rules: PerformanceRules,
    expected: float | None,
    costs: Costs | None = None,
) -> PerformanceResult:
    """Judge served outputs [n, classes or 1] against their labels [n].

    Performance is below the floor when even the better end of the interval is.
    """
    metric = chosen_metric(task, rules)
    floor = performance_floor(task, rules, expected)
    n_rows = len(y)
    if n_rows < rules.min_rows:
        reason = f"{metric} not measurable: {n_rows} labels are fewer than {rules.min_rows}"
        return PerformanceResult(metric, None, None, None, n_rows, floor, False, {}, reason)
    metrics = all_metrics(task, y, output, threshold, costs)
    value = metrics.get(metric, math.nan)
    if math.isnan(value):
        why = "only one class among them" if len(np.unique(y)) < 2 else f"the task is {task}"
        reason = f"{metric} undefined on {n_rows} labels: {why}"
        return PerformanceResult(metric, None, None, None, n_rows, floor, False, {}, reason)
    intervals = bootstrap_all(
        counted_all(task, y, output, threshold, costs), n_rows, rules.confidence
    )
    low, high = intervals.get(metric, (math.nan, math.nan))
    is_below, comparison = against_floor(metric, low, high, floor)
    reason = f"{metric} {value:.3f} [{low:.3f}, {high:.3f}] on {n_rows} labels{comparison}"
    return PerformanceResult(
        metric, value, low, high, n_rows, floor, is_below, metrics, reason, intervals
    )


def glance_at_performance(
    task: Task,
    y: Floats,
    output: Floats,
    threshold: float,
    rules: PerformanceRules,
    expected: float | None,
) -> PerformanceResult:
    """The verdict of `measure_performance`, in a fraction of its time.

    There is an interval of the watched metric only, and only where its value is worse than the
    floor: no interval lies all below what its own value is above.
    """
    metric = chosen_metric(task, rules)
    floor, n_rows = performance_floor(task, rules, expected), len(y)
    function = metric_function(task, metric, threshold)
    value = function(y, output) if n_rows >= rules.min_rows else math.nan
    if math.isnan(value):
        return measure_performance(task, y, output, threshold, rules, expected)
    if floor is None or gain(metric, value, floor) >= 0:
        reason = f"{metric} {value:.3f} on {n_rows} labels"
        return PerformanceResult(metric, value, None, None, n_rows, floor, False, {}, reason)
    low, high = bootstrap(counted(task, metric, y, output, threshold), n_rows, rules.confidence)
    is_below, comparison = against_floor(metric, low, high, floor)
    reason = f"{metric} {value:.3f} [{low:.3f}, {high:.3f}] on {n_rows} labels{comparison}"
    return PerformanceResult(metric, value, low, high, n_rows, floor, is_below, {}, reason)


def against_floor(metric: str, low: float, high: float, floor: float | None) -> tuple[bool, str]:
    """Whether the whole interval is worse than the floor, and that in words for a sentence."""
    if floor is None:
        return False, ""
    if metric in LOWER_IS_BETTER:
        is_below = bool(np.greater(low, floor))
        return is_below, f", {'all above' if is_below else 'not all above'} {floor:.3f}"
    is_below = bool(np.less(high, floor))
    return is_below, f", {'all below' if is_below else 'not all below'} {floor:.3f}"
